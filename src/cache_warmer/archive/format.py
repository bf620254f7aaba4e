"""The format of an archive: what it holds, and in which order, so that a reader can verify it as a stream.

    archive.json                                 the catalog's pins, and the name of each hub file's blob
    .model-cache/manifests/<generation>.json     every file, with size and sha256
    huggingface/hub/…, spacy/…                   the files of the manifest, in its order, each once

Names are those of a cache in one folder. The content is a function of the generation alone: no times, owners or links.
So two exports of one generation are the same bytes.

`parse_contents` validates everything that it reads. The manifest must be that of the catalog, and every file that it
lists must be one that the catalog selects of its model.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final

from cache_warmer.artifacts.hf_layout import BLOB_NAME
from cache_warmer.errors import ArchiveInvalid
from model_cache.catalog.catalog import HuggingFaceSource, Model, generation, model_digest
from model_cache.catalog.parse import parse_catalog_value
from model_cache.errors import CatalogInvalid, ManifestInvalid
from model_cache.json_values import parse_json_object
from model_cache.layout import snapshot_folder, spacy_package_folder
from model_cache.manifest import FileRecord, Manifest, ModelRecord, dump_manifest, parse_manifest
from model_cache.places import PlaceName

API_VERSION: Final = "qda/v1"
KIND: Final = "CacheArchive"
# The name of the first member.
DESCRIPTION: Final = "archive.json"
# Maximum size of each of the two documents: four times what 20,000 files need.
MAX_METADATA_BYTES: Final = 16 * 2**20
REMEDY: Final = (
    "export the generation again with this version of cache-warmer, and compare both files' sha256sum"
)

_FOLDERS: Final = {PlaceName.HUB: "huggingface/hub", PlaceName.SPACY: "spacy"}
# Length of git's sha1 in hex, by which the hub names the blob of a small file.
GIT_SHA1_LENGTH: Final = 40


@dataclass(frozen=True, slots=True)
class ArchiveContents:
    """The contents of an archive: one generation.

    Attributes:
        models: the models of the catalog, ordered by key.
        manifest: the manifest with the files of the models.
        blobs: the blob name (sha256, or git's sha1) of each hub file, by its path in the place.
    """

    models: tuple[Model, ...]
    manifest: Manifest
    blobs: Mapping[str, str]

    @property
    def bytes(self) -> int:
        """Return the size of all files, each counted once."""
        return sum(file.bytes for file in self.files())

    def files(self) -> Iterator[FileRecord]:
        """Yield the files in the order of the archive: model by model, each file once."""
        seen: set[tuple[PlaceName, str]] = set()
        for record in self.manifest.models:
            for file in record.files:
                if (file.place, file.path) not in seen:
                    seen.add((file.place, file.path))
                    yield file

    def git_sha1(self, file: FileRecord) -> str:
        """Return git's sha1 of a small hub file, by which its blob is named; empty for all other files."""
        blob = self.blobs.get(file.path, "")
        return blob if len(blob) == GIT_SHA1_LENGTH else ""


def make_contents(
    models: Sequence[Model], records: Sequence[ModelRecord], blobs: Mapping[str, str]
) -> ArchiveContents:
    """Return the contents for these models, in the order that every archive of them has."""
    ordered = tuple(sorted(models, key=lambda model: model.key))
    manifest = Manifest(generation(ordered), tuple(sorted(records, key=lambda record: record.key)))
    return ArchiveContents(ordered, manifest, blobs)


def member_name(file: FileRecord) -> str:
    """Return the name of a file in the archive."""
    return f"{_FOLDERS[file.place]}/{file.path}"


def manifest_name(generation_id: str) -> str:
    """Return the name of a generation's manifest in the archive."""
    return f".model-cache/manifests/{generation_id}.json"


def dump_description(contents: ArchiveContents) -> bytes:
    """Return `archive.json` as canonical JSON, so that the same generation is the same bytes."""
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "generation": contents.manifest.generation,
        "bytes": contents.bytes,
        "catalog": {
            "apiVersion": API_VERSION,
            "kind": "Catalog",
            "models": [_model_to_json(model) for model in contents.models],
        },
        "blobs": dict(contents.blobs),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def dump_manifest_member(contents: ArchiveContents) -> bytes:
    """Return the manifest as it is stored in the cache."""
    return dump_manifest(contents.manifest)


def parse_contents(description: bytes, manifest: bytes) -> ArchiveContents:
    """Parse both documents and verify that they belong together.

    Raises:
        ArchiveInvalid: one of them cannot be read, or they contradict each other.
    """
    try:
        document = parse_json_object(description)
        if (document["apiVersion"], document["kind"]) != (API_VERSION, KIND):
            raise ArchiveInvalid(f"its {DESCRIPTION} is not a {KIND} of {API_VERSION}", REMEDY)
        catalog = parse_catalog_value(document["catalog"], f"its {DESCRIPTION}")
        blobs = {str(path): str(blob) for path, blob in document["blobs"].items()}
        contents = ArchiveContents(catalog.models, parse_manifest(manifest), blobs)
    except (CatalogInvalid, ManifestInvalid) as error:
        raise ArchiveInvalid(error.message, REMEDY) from error
    except (ValueError, KeyError, AttributeError) as error:
        raise ArchiveInvalid(f"its {DESCRIPTION} cannot be read ({error!r:.200})", REMEDY) from error
    _validate(contents)
    return contents


def _validate(contents: ArchiveContents) -> None:
    """Refuse a manifest that is not that of the catalog, or that lists a file which is not of its model."""
    by_digest = {model_digest(model): model for model in contents.models}
    records = {record.digest: record for record in contents.manifest.models}
    if (
        contents.manifest.generation != generation(contents.models)
        or set(records) != set(by_digest)
        or len(records) != len(contents.manifest.models)
    ):
        raise ArchiveInvalid("its manifest is not that of its catalog", REMEDY)
    for digest, record in records.items():
        model = by_digest[digest]
        if (record.key, record.source, record.revision) != (model.key, model.source_name, model.revision):
            raise ArchiveInvalid(f"its manifest and its catalog disagree about {model.key}", REMEDY)
        if not record.files:
            raise ArchiveInvalid(f"its manifest has no file of {model.key}", REMEDY)
        for file in record.files:
            _validate_file(file, model, contents.blobs)


def _validate_file(file: FileRecord, model: Model, blobs: Mapping[str, str]) -> None:
    source = model.source
    if isinstance(source, HuggingFaceSource):
        place, folder = PlaceName.HUB, snapshot_folder(source)
    else:
        place, folder = PlaceName.SPACY, spacy_package_folder(source)
    if file.place is not place or not PurePosixPath(file.path).is_relative_to(folder):
        raise _foreign_file(file, model)
    name = str(PurePosixPath(file.path).relative_to(folder))
    if isinstance(source, HuggingFaceSource):
        blob = blobs.get(file.path, "")
        if not any(name == pattern or fnmatchcase(name, pattern) for pattern in source.files):
            raise _foreign_file(file, model)
        if not BLOB_NAME.fullmatch(blob) or (len(blob) != GIT_SHA1_LENGTH and blob != file.sha256):
            raise ArchiveInvalid(f"its {DESCRIPTION} gives {file.path} a wrong blob", REMEDY)
    elif name.partition("/")[0] != source.package and not name.partition("/")[0].endswith(".dist-info"):
        raise _foreign_file(file, model)


def _foreign_file(file: FileRecord, model: Model) -> ArchiveInvalid:
    return ArchiveInvalid(f"it lists {file.place}: {file.path}, which is no file of {model.key}", REMEDY)


def _model_to_json(model: Model) -> dict[str, object]:
    source = model.source
    document: dict[str, object] = {"key": model.key, "task": str(model.task)}
    if isinstance(source, HuggingFaceSource):
        document["huggingface"] = {
            "repository": source.repository,
            "revision": source.revision,
            "files": sorted(set(source.files)),
        }
    else:
        document["spacy"] = {
            "package": source.package,
            "version": source.version,
            "url": source.url,
            "sha256": source.sha256,
        }
    return document
