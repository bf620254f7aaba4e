"""The lock beside a catalog: size and hash of every file, compared with what arrives; and what its models answer.

`<catalog stem>.lock.json` lies beside `<catalog>.yaml`. Each fact may be absent (null): a published
size that was rounded is not a size.

Writes a lock: JSON in the order of the catalog, a line a file and an answer, so that changes read well in
git.

What others keep in a model's entry (such as the answers that `cache-check --load` compares) stays as long as
the entry is of the same revision.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.catalog.expected_answers import Answer, parse_answer
from model_cache.catalog.parse import BUILT_IN_CATALOG
from model_cache.errors import CacheUnreadable, LockInvalid
from model_cache.safe_names import why_unsafe

API_VERSION: Final = "qda/v1"
_REMEDY: Final = (
    "restore the lock from version control, or delete it: without one the hub's own hashes are used"
)


@dataclass(frozen=True, slots=True)
class LockedFile:
    """What is known of a file: `sha256` of its content, `git_sha1` of its git blob. None: not known."""

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
        answers: what the model is known to answer (`cache-check --load`).
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
    """What is known of a catalog's models, by key; `origin` names the file to its users."""

    models: Mapping[str, LockedModel]
    origin: str = "lock"


def lock_path(catalog_path: Path) -> Path:
    """Return where the lock of a catalog lies: `demo.lock.json` beside `demo.yaml`."""
    return catalog_path.with_name(catalog_path.stem + ".lock.json")


def load_lock(catalog_path: Path | None) -> Lock | None:
    """Read the lock beside a catalog (None: the built-in one); None if there is no lock.

    Raises `LockInvalid` or `CacheUnreadable`.
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
    """Read a lock. Raises `LockInvalid` with the origin and the key of the first mistake."""
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


_OWN: Final = (
    "source",
    "revision",
    "resolved_from",
    "whole_repository_bytes",
    "whole_repository_bytes_about",
    "files",
)


def lock_document(
    keys: Sequence[str], locked: Mapping[str, LockedModel], former: Mapping[str, object] | None
) -> dict[str, object]:
    """Return the lock of a catalog as a JSON document.

    Args:
        keys: of the whole catalog, in its order.
        locked: the models whose facts are new; the others keep what `former` says of them.
        former: the document that stood there, if one did.
    """
    before = former.get("models") if former is not None else None
    entries = before if isinstance(before, dict) else {}
    models = {
        key: _entry(locked[key], entries.get(key)) if key in locked else entries[key]
        for key in keys
        if key in locked or key in entries
    }
    return {**(former or {}), "apiVersion": API_VERSION, "kind": "CatalogLock", "models": models}


def dump_lock(document: Mapping[str, object]) -> bytes:
    """Return the document as UTF-8 JSON, each file of a model on a line of its own."""
    lines: list[str] = []

    def with_marks(value: object, path: tuple[str, ...]) -> object:
        if isinstance(value, list) and len(path) == 3 and path[2] == "answers":
            return [with_marks(one, (*path, "")) for one in value]
        if not isinstance(value, dict):
            return value
        if len(path) == 4 and path[0] == "models" and path[2] in ("files", "answers"):
            lines.append(json.dumps(value, ensure_ascii=False))
            return f"\0{len(lines) - 1}\0"
        return {name: with_marks(inner, (*path, name)) for name, inner in value.items()}

    text = json.dumps(with_marks(dict(document), ()), indent=2, ensure_ascii=False)
    text = re.sub(r'"\\u0000(\d+)\\u0000"', lambda match: lines[int(match[1])], text)
    return text.encode() + b"\n"


def _entry(model: LockedModel, former: object) -> dict[str, object]:
    own: dict[str, object] = {"source": model.source, "revision": model.revision}
    if model.resolved_from is not None:
        own["resolved_from"] = model.resolved_from
    own["whole_repository_bytes"] = model.whole_repository_bytes
    if model.whole_repository_bytes_about is not None:
        own["whole_repository_bytes_about"] = model.whole_repository_bytes_about
    own["files"] = {path: _facts(file) for path, file in sorted(model.files.items())}
    return own | _others(model, former)


def _others(model: LockedModel, former: object) -> dict[str, object]:
    if not isinstance(former, dict) or (former.get("source"), former.get("revision")) != (
        model.source,
        model.revision,
    ):
        return {}
    return {name: value for name, value in former.items() if name not in _OWN}


def _facts(file: LockedFile) -> dict[str, object]:
    return {"bytes": file.bytes, "sha256": file.sha256, "git_sha1": file.git_sha1}
