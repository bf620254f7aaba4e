"""Manifests and model records: what was verified to be in the cache, file by file.

A record stands for one verified model. A manifest holds the records of a whole generation and is published
last, by rename: a generation is complete if its manifest is there and every file it lists is. Both are
canonical JSON, so that the same content is the same bytes. What is read back is not trusted: it may be cut
by a crash of the volume, or written by somebody else, so each path is checked to stay inside its place.
"""

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from model_cache.errors import ManifestInvalid
from model_cache.places import PlaceName
from model_cache.safe_names import why_unsafe

API_VERSION: Final = "qda/v1"
_Record = TypeVar("_Record")
_HEX64: Final = re.compile(r"[0-9a-f]{64}")
_REMEDY: Final = "run `cache-warmer repair`, which writes it anew"


class FileRecord(NamedTuple):
    """One verified file.

    Attributes:
        place: the part of the cache it lies in.
        path: relative POSIX path there; for a hub file the one below `snapshots/<commit>/`.
        bytes: its size.
        sha256: of its content, 64 lower-case hex digits.
    """

    place: PlaceName
    path: str
    bytes: int
    sha256: str


class ModelRecord(NamedTuple):
    """One verified model: its digest (`digest.model_digest`), what it is, and its files."""

    digest: str
    key: str
    source: str
    revision: str
    files: tuple[FileRecord, ...]


class Manifest(NamedTuple):
    """All models of one generation."""

    generation: str
    models: tuple[ModelRecord, ...]


def dump_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as canonical JSON in UTF-8, with a line break at the end."""
    return _dump(
        {
            "apiVersion": API_VERSION,
            "kind": "CacheManifest",
            "generation": manifest.generation,
            "models": [_model_to_json(model) for model in manifest.models],
        }
    )


def dump_model_record(record: ModelRecord) -> bytes:
    """Return the record as canonical JSON in UTF-8, with a line break at the end."""
    return _dump({"apiVersion": API_VERSION, "kind": "ModelRecord", "model": _model_to_json(record)})


def parse_manifest(content: bytes) -> Manifest:
    """Read what `dump_manifest` wrote. Raises `ManifestInvalid`."""
    return _parse(content, "CacheManifest", _manifest_from_json)


def parse_model_record(content: bytes) -> ModelRecord:
    """Read what `dump_model_record` wrote. Raises `ManifestInvalid`."""
    return _parse(content, "ModelRecord", lambda document: _model_from_json(document["model"]))


def _dump(document: object) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8") + b"\n"


def _model_to_json(record: ModelRecord) -> dict[str, object]:
    return {
        "digest": record.digest,
        "key": record.key,
        "source": record.source,
        "revision": record.revision,
        "files": [
            {"place": str(file.place), "path": file.path, "bytes": file.bytes, "sha256": file.sha256}
            for file in record.files
        ],
    }


def _parse(content: bytes, kind: str, read: "Callable[[dict[str, object]], _Record]") -> _Record:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"not valid JSON ({error}); it may have been cut short", _REMEDY) from error
    try:
        if document["apiVersion"] != API_VERSION or document["kind"] != kind:
            raise ValueError(f"not a {kind} of {API_VERSION}")
        return read(document)
    except KeyError as error:
        raise ManifestInvalid(f"{error} is missing", _REMEDY) from error
    except (TypeError, ValueError) as error:
        raise ManifestInvalid(str(error), _REMEDY) from error


def _manifest_from_json(document: dict[str, object]) -> Manifest:
    models = tuple(_model_from_json(model) for model in _list(document["models"]))
    return Manifest(_hex64(document["generation"]), models)


def _model_from_json(value: object) -> ModelRecord:
    model = _object(value)
    return ModelRecord(
        digest=_hex64(model["digest"]),
        key=_text(model["key"]),
        source=_text(model["source"]),
        revision=_text(model["revision"]),
        files=tuple(_file_from_json(file) for file in _list(model["files"])),
    )


def _file_from_json(value: object) -> FileRecord:
    file = _object(value)
    path, size = _text(file["path"]), file["bytes"]
    unsafe = why_unsafe(path)
    if unsafe:
        raise ValueError(f"it lists the path {path!r}, which {unsafe}")
    if type(size) is not int or size < 0:
        raise ValueError(f"it gives {path!r} a size of {size!r}")
    return FileRecord(PlaceName(_text(file["place"])), path, size, _hex64(file["sha256"]))


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"it has {type(value).__name__} where an object should be")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"it has {type(value).__name__} where a list should be")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"it has {type(value).__name__} where text should be")
    return value


def _hex64(value: object) -> str:
    text = _text(value)
    if not _HEX64.fullmatch(text):
        raise ValueError(f"it has {text[:80]!r} where a sha256 should be")
    return text
