"""The lock beside a catalog: size and hash of every file, compared with what arrives; and what its models answer.

``<catalog stem>.lock.json`` lies beside ``<catalog>.yaml``. Each fact may be absent (null): a published
size that was rounded is not a size.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_cache.catalogs.answers import Answer, parse_answer
from model_cache.catalogs.catalog_file import BUILT_IN_CATALOG
from model_cache.errors import CacheUnreadable, LockInvalid
from model_cache.safe_names import why_unsafe

API_VERSION = "qda/v1"
_REMEDY = "restore the lock from version control, or delete it: without one the hub's own hashes are used"


@dataclass(frozen=True, slots=True)
class LockedFile:
    """What is known of a file: ``sha256`` of its content, ``git_sha1`` of its git blob. None: not known."""

    bytes: int | None
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True, slots=True)
class LockedModel:
    """What is known of a model.

    Attributes:
        source: repository or package that the facts are of.
        revision: the commit or version that the facts are of.
        files: by path in the repository; for spaCy one file, the wheel.
        whole_repository_bytes: of all files of the repository, fetched or not; None if not known.
        whole_repository_bytes_about: the same from rounded figures; None if not known.
        answers: what the model is known to answer (``cache-check --load``).
        resolved_from: the branch or tag that named this commit when the lock was written; None if a commit was given.
    """

    source: str
    revision: str
    files: Mapping[str, LockedFile]
    whole_repository_bytes: int | None = None
    whole_repository_bytes_about: int | None = None
    resolved_from: str | None = None
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class Lock:
    """What is known of a catalog's models, by key; ``origin`` names the file to its users."""

    models: Mapping[str, LockedModel]
    origin: str = "lock"


def lock_path(catalog_path: Path) -> Path:
    """Return where the lock of a catalog lies: ``demo.lock.json`` beside ``demo.yaml``."""
    return catalog_path.with_name(catalog_path.stem + ".lock.json")


def load_lock(catalog_path: Path | None) -> Lock | None:
    """Read the lock beside a catalog (None: the built-in one); None if there is no lock.

    Raises ``LockInvalid`` or ``CacheUnreadable``.
    """
    path = lock_path(catalog_path or BUILT_IN_CATALOG)
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CacheUnreadable(
            f"cannot read the lock {path}: {error.strerror}", f"make {path} readable for this user"
        ) from error
    return parse_lock(content, str(path))


def parse_lock(content: bytes, origin: str) -> Lock:
    """Read a lock. Raises ``LockInvalid`` with the origin and the key of the first mistake."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LockInvalid(f"{origin} is not valid JSON: {error}", _REMEDY) from error
    reader = _Reader(origin)
    root = reader.mapping(document, "the document")
    if root.get("apiVersion") != API_VERSION or root.get("kind") != "CatalogLock":
        raise LockInvalid(f"{origin} is no CatalogLock of {API_VERSION}", _REMEDY)
    models = reader.mapping(root.get("models"), "models")
    return Lock({key: reader.model(value, f"models.{key}") for key, value in models.items()}, origin)


@dataclass(frozen=True, slots=True)
class _Reader:
    origin: str

    def model(self, value: object, key: str) -> LockedModel:
        model = self.mapping(value, key)
        files = self.mapping(model.get("files"), f"{key}.files")
        return LockedModel(
            source=self.text(model.get("source"), f"{key}.source"),
            revision=self.text(model.get("revision"), f"{key}.revision"),
            files={path: self.file(path, facts, f"{key}.files[{path!r}]") for path, facts in files.items()},
            whole_repository_bytes=self.size(
                model.get("whole_repository_bytes"), f"{key}.whole_repository_bytes"
            ),
            whole_repository_bytes_about=self.size(
                model.get("whole_repository_bytes_about"), f"{key}.whole_repository_bytes_about"
            ),
            resolved_from=self.optional_text(model.get("resolved_from"), f"{key}.resolved_from"),
            answers=self.answers(model.get("answers", []), f"{key}.answers"),
        )

    def answers(self, value: object, key: str) -> tuple[Answer, ...]:
        if not isinstance(value, list):
            raise self.wrong(key, json.dumps(value)[:80], "a list")
        answers = []
        for index, one in enumerate(value):
            try:
                answers.append(parse_answer(one))
            except ValueError as error:
                raise LockInvalid(f"{self.origin}: {key}[{index}]: {error}", _REMEDY) from error
        return tuple(answers)

    def file(self, path: str, value: object, key: str) -> LockedFile:
        unsafe = why_unsafe(path)
        if unsafe:
            raise self.wrong(key, f"a path which {unsafe}", "a relative path below the model")
        file = self.mapping(value, key)
        return LockedFile(
            bytes=self.size(file.get("bytes"), f"{key}.bytes"),
            sha256=self.digest(file.get("sha256"), 64, f"{key}.sha256"),
            git_sha1=self.digest(file.get("git_sha1"), 40, f"{key}.git_sha1"),
        )

    def mapping(self, value: object, key: str) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self.wrong(key, json.dumps(value)[:80], "an object")
        return value

    def text(self, value: object, key: str) -> str:
        if not isinstance(value, str):
            raise self.wrong(key, json.dumps(value)[:80], "text")
        return value

    def optional_text(self, value: object, key: str) -> str | None:
        return None if value is None else self.text(value, key)

    def size(self, value: object, key: str) -> int | None:
        if value is None or (type(value) is int and value >= 0):
            return value
        raise self.wrong(key, json.dumps(value)[:80], "a number of bytes, or null")

    def digest(self, value: object, digits: int, key: str) -> str | None:
        if value is None:
            return None
        if isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
            return value
        raise self.wrong(key, json.dumps(value)[:80], f"{digits} lower-case hex digits, or null")

    def wrong(self, key: str, found: str, allowed: str) -> LockInvalid:
        return LockInvalid(f"{self.origin}: {key}: found {found}; allowed: {allowed}", _REMEDY)
