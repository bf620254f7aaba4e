"""The lock beside a catalog: size and hash of every file, and the answers that its models are expected to give.

`<catalog stem>.lock.json` lies beside `<catalog>.yaml`. `cache-warmer lock` writes it, a warm compares what arrives
with it, and `cache-check --load` compares what the models answer. Each fact may be absent (null): a published size that
was rounded is not a size.

The file is JSON in the order of the catalog, with one line per file and per answer, so that changes are easy to review
in git. Fields that this module does not know stay in a model's entry as long as its revision stays the same.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from model_cache.catalog.expected_answers import Answer, parse_answer
from model_cache.catalog.parse import BUILT_IN_CATALOG
from model_cache.errors import CacheUnreadable, LockInvalid
from model_cache.file_io import read_small_file
from model_cache.json_values import parse_json
from model_cache.safe_names import unsafe_reason

API_VERSION: Final = "qda/v1"
KIND: Final = "CatalogLock"

_REMEDY: Final = (
    "restore the lock from version control, or delete it: without one the hub's own hashes are used"
)
# Fields of a model's entry that `lock_document` writes; it keeps all others.
_OWN_FIELDS: Final = (
    "source",
    "revision",
    "resolved_from",
    "whole_repository_bytes",
    "whole_repository_bytes_about",
    "files",
)


class LockedFile(NamedTuple):
    """The known facts about a file; None: not known.

    Attributes:
        bytes: its size.
        sha256: sha256 of its content, 64 lower-case hex digits.
        git_sha1: sha1 of its git blob, 40 lower-case hex digits.
        contents_sha256: of a wheel: digest of the files in it (`model_cache.record_rules.contents_sha256`).
    """

    bytes: int | None
    sha256: str | None
    git_sha1: str | None
    contents_sha256: str | None = None


class LockedModel(NamedTuple):
    """The known facts about a model.

    Attributes:
        source: repository or package that the facts are about.
        revision: commit or version that the facts are about.
        files: the files by path in the repository; for spaCy one file, the wheel.
        whole_repository_bytes: size of all files of the repository, fetched or not; None if not known.
        whole_repository_bytes_about: the same from rounded figures; None if not known.
        resolved_from: the branch or tag that named this commit when the lock was written; None if the catalog
            gave the commit.
        answers: expected answers of the model.
    """

    source: str
    revision: str
    files: Mapping[str, LockedFile]
    whole_repository_bytes: int | None = None
    whole_repository_bytes_about: int | None = None
    resolved_from: str | None = None
    answers: tuple[Answer, ...] = ()


class Lock(NamedTuple):
    """The lock of a catalog.

    Attributes:
        models: the models by key.
        origin: the file's name in messages.
    """

    models: Mapping[str, LockedModel]
    origin: str = "lock"


def lock_path(catalog_path: Path) -> Path:
    """Return the path of a catalog's lock: `demo.lock.json` beside `demo.yaml`."""
    return catalog_path.with_name(catalog_path.stem + ".lock.json")


def load_lock(catalog_path: Path | None) -> Lock | None:
    """Read the lock beside a catalog (None: the built-in one).

    Returns:
        The lock; None if there is none.

    Raises:
        CacheUnreadable: the file is there and cannot be read.
        LockInvalid: its content is not a lock.
    """
    path = lock_path(catalog_path or BUILT_IN_CATALOG)
    try:
        content = read_small_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CacheUnreadable(
            f"cannot read the lock {path}: {error.strerror}", f"make {path} readable for this user"
        ) from error
    return parse_lock(content, str(path))


def parse_lock(content: bytes, origin: str) -> Lock:
    """Parse the content of a lock.

    Raises:
        LockInvalid: the content is not a lock; the message names the origin and the key of the first mistake.
    """
    try:
        document = parse_json(content)
    except ValueError as error:
        raise LockInvalid(f"{origin} is not valid JSON: {error}", _REMEDY) from error
    parser = _LockParser(origin)
    root = parser.mapping(document, "the document")
    if root.get("apiVersion") != API_VERSION or root.get("kind") != KIND:
        raise LockInvalid(f"{origin} is not a {KIND} of {API_VERSION}", _REMEDY)
    models = parser.mapping(root.get("models"), "models")
    return Lock({key: parser.model(value, f"models.{key}") for key, value in models.items()}, origin)


def lock_document(
    keys: Sequence[str], locked: Mapping[str, LockedModel], former: Mapping[str, object] | None
) -> dict[str, object]:
    """Return the lock of a catalog as a JSON document.

    Args:
        keys: the keys of the whole catalog, in its order.
        locked: the models with new facts; the others keep their entry in `former`.
        former: the document that the new one replaces; None if there is none.
    """
    former_models = former.get("models") if former is not None else None
    entries = former_models if isinstance(former_models, dict) else {}
    models = {
        key: _entry(locked[key], entries.get(key)) if key in locked else entries[key]
        for key in keys
        if key in locked or key in entries
    }
    return {**(former or {}), "apiVersion": API_VERSION, "kind": KIND, "models": models}


def dump_lock(document: Mapping[str, object]) -> bytes:
    """Return the document as UTF-8 JSON, with each file and each answer of a model on a line of its own."""
    lines: list[str] = []

    def with_placeholders(value: object, path: tuple[str, ...]) -> object:
        """Replace each object that belongs on one line by the text `NUL index NUL`."""
        if isinstance(value, list) and len(path) == 3 and path[2] == "answers":
            return [with_placeholders(one, (*path, "")) for one in value]
        if not isinstance(value, dict):
            return value
        if len(path) == 4 and path[0] == "models" and path[2] in ("files", "answers"):
            lines.append(json.dumps(value, ensure_ascii=False))
            return f"\0{len(lines) - 1}\0"
        return {name: with_placeholders(inner, (*path, name)) for name, inner in value.items()}

    text = json.dumps(with_placeholders(dict(document), ()), indent=2, ensure_ascii=False)
    text = re.sub(r'"\\u0000(\d+)\\u0000"', lambda match: lines[int(match[1])], text)
    return text.encode() + b"\n"


def _entry(model: LockedModel, former: object) -> dict[str, object]:
    entry: dict[str, object] = {"source": model.source, "revision": model.revision}
    if model.resolved_from is not None:
        entry["resolved_from"] = model.resolved_from
    entry["whole_repository_bytes"] = model.whole_repository_bytes
    if model.whole_repository_bytes_about is not None:
        entry["whole_repository_bytes_about"] = model.whole_repository_bytes_about
    entry["files"] = {path: _file_to_json(file) for path, file in sorted(model.files.items())}
    return entry | _unknown_fields(model, former)


def _file_to_json(file: LockedFile) -> dict[str, object]:
    facts: dict[str, object] = {"bytes": file.bytes, "sha256": file.sha256, "git_sha1": file.git_sha1}
    if file.contents_sha256 is not None:
        facts["contents_sha256"] = file.contents_sha256
    return facts


def _unknown_fields(model: LockedModel, former: object) -> dict[str, object]:
    """Return the fields of a former entry of the same revision that this module does not write."""
    if not isinstance(former, dict) or (former.get("source"), former.get("revision")) != (
        model.source,
        model.revision,
    ):
        return {}
    return {name: value for name, value in former.items() if name not in _OWN_FIELDS}


class _LockParser(NamedTuple):
    """Typed access to the document's values; each method raises `LockInvalid` with the key of a wrong one."""

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
            raise self.error(key, value, "a list")
        answers = []
        for index, one in enumerate(value):
            try:
                answers.append(parse_answer(one))
            except ValueError as error:
                raise LockInvalid(f"{self.origin}: {key}[{index}]: {error}", _REMEDY) from error
        return tuple(answers)

    def file(self, path: str, value: object, key: str) -> LockedFile:
        reason = unsafe_reason(path)
        if reason:
            raise LockInvalid(
                f"{self.origin}: {key}: found a path which {reason}; allowed: a relative path below the model",
                _REMEDY,
            )
        file = self.mapping(value, key)
        return LockedFile(
            bytes=self.size(file.get("bytes"), f"{key}.bytes"),
            sha256=self.hex_digits(file.get("sha256"), 64, f"{key}.sha256"),
            git_sha1=self.hex_digits(file.get("git_sha1"), 40, f"{key}.git_sha1"),
            contents_sha256=self.hex_digits(file.get("contents_sha256"), 64, f"{key}.contents_sha256"),
        )

    def mapping(self, value: object, key: str) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self.error(key, value, "an object")
        return value

    def text(self, value: object, key: str) -> str:
        if not isinstance(value, str):
            raise self.error(key, value, "text")
        return value

    def optional_text(self, value: object, key: str) -> str | None:
        return None if value is None else self.text(value, key)

    def size(self, value: object, key: str) -> int | None:
        if value is None or (type(value) is int and value >= 0):
            return value
        raise self.error(key, value, "a number of bytes, or null")

    def hex_digits(self, value: object, count: int, key: str) -> str | None:
        if value is None:
            return None
        if isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{count}}}", value):
            return value
        raise self.error(key, value, f"{count} lower-case hex digits, or null")

    def error(self, key: str, value: object, allowed: str) -> LockInvalid:
        found = json.dumps(value)[:80]
        return LockInvalid(f"{self.origin}: {key}: found {found}; allowed: {allowed}", _REMEDY)
