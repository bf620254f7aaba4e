"""Manifests and model records: the files of a cache that were verified.

A record lists the files of one verified model. A manifest holds the records of a whole generation. The warmer
publishes it last, by rename: a generation is complete if its manifest exists and every file that it lists does.

Both are canonical JSON, so that equal content has equal bytes. What is read back is not trusted: a crash of the volume
may have truncated it, or another program may have written it. Types are checked, and each path must stay inside its
place.
"""

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from model_cache.errors import ManifestInvalid
from model_cache.json_values import json_list, json_object, json_text, parse_json_object, to_json_value
from model_cache.places import PlaceName
from model_cache.safe_names import unsafe_reason

API_VERSION: Final = "qda/v1"
# Largest size of a file that is believed: what a file system's 64 bits can express.
MAX_FILE_BYTES: Final = 2**63 - 1

_HEX64: Final = re.compile(r"[0-9a-f]{64}")
_REMEDY: Final = "run `cache-warmer repair`, which writes a new one"

_Record = TypeVar("_Record")


class FileRecord(NamedTuple):
    """One verified file.

    Attributes:
        place: the part of the cache that holds it.
        path: relative POSIX path in the place; for a hub file the one below `snapshots/<commit>/`.
        bytes: its size.
        sha256: sha256 of its content, 64 lower-case hex digits.
    """

    place: PlaceName
    path: str
    bytes: int
    sha256: str


class FetchedFile(NamedTuple):
    """A file that this project itself put into the cache.

    Attributes:
        place, path: of the file, as in its `FileRecord`.
        mtime: time of its last change when it was recorded, in whole seconds since the epoch. A file with another time
            was replaced by somebody else since.
    """

    place: PlaceName
    path: str
    mtime: int


class ModelRecord(NamedTuple):
    """One verified model.

    Attributes:
        digest: see `model_cache.catalog.catalog.model_digest`.
        key, source, revision: as in the catalog.
        files: the files, in the order of the download.
        fetched: on a host, those of the files that this project fetched; the others were found in the cache. Only the
            file of a model record has it: a manifest depends on the generation alone.
    """

    digest: str
    key: str
    source: str
    revision: str
    files: tuple[FileRecord, ...]
    fetched: tuple[FetchedFile, ...] = ()


class Manifest(NamedTuple):
    """The verified models of one generation (`model_cache.catalog.catalog.generation`)."""

    generation: str
    models: tuple[ModelRecord, ...]


def dump_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as canonical JSON in UTF-8, with a line break at the end."""
    models = [_model_to_json(record) for record in manifest.models]
    return _dump(
        {
            "apiVersion": API_VERSION,
            "kind": "CacheManifest",
            "generation": manifest.generation,
            "models": models,
        }
    )


def dump_model_record(record: ModelRecord) -> bytes:
    """Return the record as canonical JSON in UTF-8, with a line break at the end."""
    document = {"apiVersion": API_VERSION, "kind": "ModelRecord", "model": _model_to_json(record)}
    return _dump({**document, "fetched": record.fetched} if record.fetched else document)


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest of a file's content.

    Raises:
        ManifestInvalid: the content is not a manifest.
    """
    return _parse(content, "CacheManifest", _manifest_from_json)


def parse_model_record(content: bytes) -> ModelRecord:
    """Return the model record of a file's content.

    Raises:
        ManifestInvalid: the content is not a model record.
    """
    return _parse(content, "ModelRecord", _record_from_json)


def _dump(document: object) -> bytes:
    text = json.dumps(to_json_value(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8") + b"\n"


def _parse(content: bytes, kind: str, read: Callable[[dict[str, object]], _Record]) -> _Record:
    try:
        document = parse_json_object(content)
    except ValueError as error:
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
    models = tuple(_model_from_json(model) for model in json_list(document["models"]))
    return Manifest(_hex64(document["generation"]), models)


def _record_from_json(document: dict[str, object]) -> ModelRecord:
    fetched = tuple(_fetched_from_json(file) for file in json_list(document.get("fetched", [])))
    return _model_from_json(document["model"])._replace(fetched=fetched)


def _model_to_json(record: ModelRecord) -> dict[str, object]:
    document = record._asdict()
    del document["fetched"]
    return document


def _model_from_json(value: object) -> ModelRecord:
    model = json_object(value)
    return ModelRecord(
        digest=_hex64(model["digest"]),
        key=json_text(model["key"]),
        source=json_text(model["source"]),
        revision=json_text(model["revision"]),
        files=tuple(_file_from_json(file) for file in json_list(model["files"])),
    )


def _file_from_json(value: object) -> FileRecord:
    file = json_object(value)
    path, size = json_text(file["path"]), file["bytes"]
    reason = unsafe_reason(path)
    if reason:
        raise ValueError(f"it lists the path {path!r}, which {reason}")
    if type(size) is not int or not 0 <= size <= MAX_FILE_BYTES:
        raise ValueError(f"it gives {path!r} a size of {size!r:.40}")
    return FileRecord(PlaceName(json_text(file["place"])), path, size, _hex64(file["sha256"]))


def _fetched_from_json(value: object) -> FetchedFile:
    file = json_object(value)
    mtime = file["mtime"]
    if type(mtime) is not int:
        raise ValueError(f"it gives a fetched file the time {mtime!r}")
    return FetchedFile(PlaceName(json_text(file["place"])), json_text(file["path"]), mtime)


def _hex64(value: object) -> str:
    text = json_text(value)
    if not _HEX64.fullmatch(text):
        raise ValueError(f"it has {text[:80]!r} where a sha256 should be")
    return text
