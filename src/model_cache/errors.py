"""Errors of the model cache, and the base class of the errors of all packages.

* ModelCacheError          has reason, message and remedy, which programs print
    - UsageError           USAGE             wrong options, or an unknown model key
    - CatalogInvalid       CATALOG_INVALID   the catalog does not parse or contradicts itself
    - LockInvalid          CATALOG_INVALID   the lock beside the catalog does not parse
    - ManifestInvalid      CACHE_CORRUPT     a manifest or a model record cannot be trusted
    - CacheUnreadable      NO_PERMISSION     a file of the cache or the catalog cannot be read

Programs end with the exit code of the reason (`model_cache.cli.program`); the worker sends the reason in the status
details of a call.
"""

import errno
import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from model_cache.reasons import Reason
from model_cache.urls import without_passwords

# Failures to write that are NO_SPACE: a full disk, a spent quota, a file that has reached its limit.
NO_SPACE_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ModelCacheError(Exception):
    """An error that a user can cause and correct.

    Attributes:
        reason: why the operation failed; each subclass has a default.
        message: what happened, without a full stop at its end. User information of addresses is removed from it.
        remedy: what to do about it.
    """

    reason = Reason.INTERNAL

    def __init__(self, message: str, remedy: str, *, reason: Reason | None = None) -> None:
        message = without_passwords(message)
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy
        if reason is not None:
            self.reason = reason

    def __str__(self) -> str:
        """Return `REASON: message. Remedy: remedy`, as programs print it."""
        return f"{self.reason}: {with_remedy(self.message, self.remedy)}"


def with_remedy(message: str, remedy: str) -> str:
    """Return `message. Remedy: remedy`.

    A message that ends with a full stop gets no second one. After a message of several lines, the remedy has a line of
    its own.
    """
    end = "\n" if "\n" in message else " "
    stop = "" if message.endswith((".", "!", "?")) else "."
    return f"{message}{stop}{end}Remedy: {remedy}"


class UsageError(ModelCacheError):
    """The command line, or an environment variable of an option, is wrong."""

    reason = Reason.USAGE


class CatalogProblem(NamedTuple):
    """One mistake in a catalog.

    Attributes:
        file: the catalog's name in messages.
        line: counted from 1; 0 if the mistake has no line, as when the file does not exist.
        key: path in the document, as `models[1].huggingface.revision`; empty for the document.
        found: the value that the document has there.
        allowed: the values that it may have, and what to do.
        suggestion: the most similar allowed word, or an empty string.
    """

    file: str
    line: int
    key: str
    found: str
    allowed: str
    suggestion: str = ""

    @property
    def is_unpinned(self) -> bool:
        """Whether it is a branch, a tag or a missing hash, which `cache-warmer lock` replaces by a pin."""
        lacks_hash = self.key.endswith(".sha256") and self.found in ("no such key", "nothing")
        return lacks_hash or self.found.endswith("(a branch or tag)")

    def __str__(self) -> str:
        """Return one line: `FILE:LINE: KEY: found … (did you mean "…"?); allowed: …`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        hint = f' (did you mean "{self.suggestion}"?)' if self.suggestion else ""
        return f"{place}: {key}found {self.found}{hint}; allowed: {self.allowed}"


def _may_write(file: str) -> bool:
    return os.access(file, os.W_OK) or not os.path.exists(file)


class CatalogInvalid(ModelCacheError):
    """The catalog has mistakes.

    Attributes:
        problems: all mistakes, in the order of the file.
    """

    reason = Reason.CATALOG_INVALID

    def __init__(
        self, problems: Sequence[CatalogProblem], may_write: Callable[[str], bool] = _may_write
    ) -> None:
        """Create the error.

        Args:
            problems: all mistakes, at least one.
            may_write: returns whether this user may change the file. In a pod it is a copy of what the release was
                given, so the remedy names the original.
        """
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems]
        if len(lines) == 1:
            message = lines[0]
        else:
            message = "\n  ".join([f"{len(lines)} mistakes in the catalog:", *lines])
        # A problem without a line concerns the file as a whole: it cannot be read.
        action = (
            "correct the catalog at these lines"
            if self.problems[0].line
            else "give a catalog that exists and can be read"
        )
        if all(problem.is_unpinned for problem in self.problems):
            import shlex  # here: an unneeded import delays each start

            action = f"run `cache-warmer lock --catalog {shlex.quote(self.problems[0].file)}`, which pins it"
        again = "then run the same command again"
        if self.problems[0].line and not may_write(self.problems[0].file):
            pins = all(problem.is_unpinned for problem in self.problems)
            action = "run `cache-warmer lock --catalog FILE`, which pins it" if pins else action
            action += ", in the file of which this is a read-only copy"
            again = "then use that file (with the chart: `--set-file catalog=FILE`)"
        super().__init__(message, f"{action}, {again}")


class LockInvalid(ModelCacheError):
    """The lock beside the catalog does not parse, or is not about the catalog's models."""

    reason = Reason.CATALOG_INVALID


class ManifestInvalid(ModelCacheError):
    """A manifest, a model record or a reference in the cache is truncated, changed or unsafe."""

    reason = Reason.CACHE_CORRUPT


class CacheUnreadable(ModelCacheError):
    """A file exists and cannot be read or written."""

    reason = Reason.NO_PERMISSION
