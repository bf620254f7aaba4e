"""Errors of the model cache, and the root that the errors of the other packages derive from.

* ModelCacheError          carries reason, message, remedy; programs print exactly these
    - UsageError           USAGE             wrong options, or an unknown model key
    - CatalogInvalid       CATALOG_INVALID   the catalog does not parse or contradicts itself
    - LockInvalid          CATALOG_INVALID   the lock beside the catalog does not parse
    - ManifestInvalid      CACHE_CORRUPT     a manifest or a model record cannot be trusted
    - CacheUnreadable      NO_PERMISSION     a file of the cache or the catalog cannot be read
"""

from collections.abc import Sequence
from typing import NamedTuple

from model_cache.reasons import Reason


class ModelCacheError(Exception):
    """Something that a user can cause and mend: what happened, and what to do about it."""

    reason = Reason.INTERNAL

    def __init__(self, message: str, remedy: str, *, reason: Reason | None = None) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy
        if reason is not None:
            self.reason = reason

    def __str__(self) -> str:
        """`REASON: message. Remedy: remedy` (a message of several lines ends with a line break)."""
        return f"{self.reason}: {with_remedy(self.message, self.remedy)}"


def with_remedy(message: str, remedy: str) -> str:
    """Return `message. Remedy: remedy`; no second full stop where the message ends a sentence itself."""
    end = "\n" if "\n" in message else " "
    stop = "" if message.endswith((".", "!", "?")) else "."
    return f"{message}{stop}{end}Remedy: {remedy}"


class UsageError(ModelCacheError):
    """The command line, or a variable that stands for an option, cannot be followed."""

    reason = Reason.USAGE


class CatalogProblem(NamedTuple):
    """One mistake in a catalog.

    Attributes:
        file: the catalog as the user knows it.
        line: counted from 1; 0 if the mistake has no line (the file is not there).
        key: where in the document, as `models[1].huggingface.revision`; empty for the document.
        found: what stands there.
        allowed: what may stand there, and what to do.
        suggestion: the nearest allowed word, or an empty string.
    """

    file: str
    line: int
    key: str
    found: str
    allowed: str
    suggestion: str = ""

    @property
    def is_not_pinned(self) -> bool:
        """Whether it is a branch, a tag or a missing hash, which `cache-warmer lock` turns into a pin."""
        lacks_hash = self.key.endswith(".sha256") and self.found in ("no such key", "nothing")
        return lacks_hash or self.found.endswith("(a branch or tag)")

    def __str__(self) -> str:
        """One line: `FILE:LINE: KEY: found …; allowed: …. Did you mean "…"?`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        hint = f' (did you mean "{self.suggestion}"?)' if self.suggestion else ""
        return f"{place}: {key}found {self.found}{hint}; allowed: {self.allowed}"


class CatalogInvalid(ModelCacheError):
    """The catalog has mistakes; `problems` holds all of them, in the order of the file."""

    reason = Reason.CATALOG_INVALID

    def __init__(self, problems: Sequence[CatalogProblem]) -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems]
        if len(lines) == 1:
            message = lines[0]
        else:
            message = "\n  ".join([f"{len(lines)} mistakes in the catalog:", *lines])
        # a mistake without a line is one of the file as a whole: it cannot be read
        mend = (
            "correct the catalog at the lines named"
            if self.problems[0].line
            else "name a catalog that is there"
        )
        if all(problem.is_not_pinned for problem in self.problems):
            import shlex  # here: an unneeded import delays each start

            mend = f"run `cache-warmer lock --catalog {shlex.quote(self.problems[0].file)}`, which pins it"
        super().__init__(message, f"{mend}, then run the same command again")


class LockInvalid(ModelCacheError):
    """The lock beside the catalog is not a lock of it."""

    reason = Reason.CATALOG_INVALID


class ManifestInvalid(ModelCacheError):
    """A manifest or a model record in the cache is cut, changed or unsafe."""

    reason = Reason.CACHE_CORRUPT


class CacheUnreadable(ModelCacheError):
    """A file is there and cannot be read."""

    reason = Reason.NO_PERMISSION
