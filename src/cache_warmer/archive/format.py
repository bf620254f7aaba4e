"""The format of an archive: what it holds, and in which order, so that a reader can verify it as a stream.

    archive.json                                 the catalog's pins, and the name of each hub file's blob
    .model-cache/manifests/<generation>.json     every file, with size and sha256
    huggingface/hub/…, spacy/…                   the files of the manifest, in its order, each once
    .model-cache/prepared/<key>/<form>/…         the files of its prepared forms, if the cache has any (`forms`)

Names are those of a cache in one folder. The content is a function of the generation and of its forms: no times, owners
or links. So two exports of one generation are the same bytes.

`parse_contents` validates everything that it reads. The manifest must fit the catalog of the archive and the lock
of the command (`model_cache.record_rules`): no file is missing, none is foreign, and none differs from the lock.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cache_warmer.archive.forms import ArchivedForm, parse_forms
from cache_warmer.artifacts.hf_layout import BLOB_NAME
from cache_warmer.errors import ArchiveInvalid
from model_cache.catalog.catalog import HuggingFaceSource, Model, generation
from model_cache.catalog.lock import Lock
from model_cache.catalog.parse import parse_catalog_value
from model_cache.errors import CatalogInvalid, ManifestInvalid
from model_cache.json_values import parse_json_object
from model_cache.manifest import FileRecord, Manifest, ModelRecord, dump_manifest, parse_manifest
from model_cache.places import PlaceName
from model_cache.record_rules import locked_git_sha1s, manifest_mismatch

API_VERSION: Final = "qda/v1"
KIND: Final = "CacheArchive"
# The name of the first member.
DESCRIPTION: Final = "archive.json"
# Maximum size of each of the two documents: four times what 20,000 files need.
MAX_METADATA_BYTES: Final = 16 * 2**20
REMEDY: Final = (
    "export the generation again with this version of cache-warmer, and compare both files' sha256sum"
)

_LOCK_REMEDY: Final = (
    "find out which of the two is right; if it is the archive, write the lock again with `cache-warmer lock`"
)
_FOLDERS: Final = {
    PlaceName.HUB: "huggingface/hub",
    PlaceName.SPACY: "spacy",
    PlaceName.OWN: ".model-cache",
}
# Length of git's sha1 in hex, by which the hub names the blob of a small file.
GIT_SHA1_LENGTH: Final = 40


@dataclass(frozen=True, slots=True)
class ArchiveContents:
    """The contents of an archive: one generation.

    Attributes:
        models: the models of the catalog, ordered by key.
        manifest: the manifest with the files of the models.
        blobs: the blob name (sha256, or git's sha1) of each hub file, by its path in the place.
        git_sha1s: git's sha1 of hub files, by path in the place, that only the lock knows.
        forms: the prepared forms of the models.
    """

    models: tuple[Model, ...]
    manifest: Manifest
    blobs: Mapping[str, str]
    git_sha1s: Mapping[str, str] = field(default_factory=dict)
    forms: tuple[ArchivedForm, ...] = ()

    @property
    def bytes(self) -> int:
        """Return the size of all files, each counted once; those of the forms too."""
        return sum(file.bytes for file in (*self.files(), *self.form_files()))

    def form_files(self) -> tuple[FileRecord, ...]:
        """Return the files of the forms, which follow those of the models."""
        return tuple(file for form in self.forms for file in form.files())

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
    models: Sequence[Model],
    records: Sequence[ModelRecord],
    blobs: Mapping[str, str],
    forms: tuple[ArchivedForm, ...] = (),
) -> ArchiveContents:
    """Return the contents for these models, in the order that every archive of them has."""
    ordered = tuple(sorted(models, key=lambda model: model.key))
    manifest = Manifest(generation(ordered), tuple(sorted(records, key=lambda record: record.key)))
    return ArchiveContents(ordered, manifest, blobs, forms=forms)


def member_name(file: FileRecord) -> str:
    """Return the name of a file in the archive."""
    return f"{_FOLDERS[file.place]}/{file.path}"


def manifest_name(generation_id: str) -> str:
    """Return the name of a generation's manifest in the archive."""
    return f".model-cache/manifests/{generation_id}.json"


def dump_description(contents: ArchiveContents) -> bytes:
    """Return `archive.json` as canonical JSON, so that the same generation is the same bytes."""
    document: dict[str, object] = {
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
    if contents.forms:
        document["forms"] = [form.record.decode() for form in contents.forms]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


def dump_manifest_member(contents: ArchiveContents) -> bytes:
    """Return the manifest as it is stored in the cache."""
    return dump_manifest(contents.manifest)


def parse_contents(description: bytes, manifest: bytes, lock: Lock | None = None) -> ArchiveContents:
    """Parse both documents and verify that they belong together.

    Args:
        description, manifest: the documents.
        lock: what it knows of the archive's models must be what the archive has.

    Raises:
        ArchiveInvalid: one of them cannot be read, or they contradict each other or the lock.
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
    _validate(contents, lock)
    git_sha1s = {
        path: sha1 for model in catalog.models for path, sha1 in locked_git_sha1s(model, lock).items()
    }
    forms = parse_forms(document.get("forms", []), catalog.models, contents.manifest, REMEDY)
    return replace(contents, git_sha1s=git_sha1s, forms=forms)


def _validate(contents: ArchiveContents, lock: Lock | None) -> None:
    """Refuse a manifest that does not fit catalog and lock, and blobs that are not those of its files."""
    if mismatch := manifest_mismatch(contents.manifest, contents.models):
        raise ArchiveInvalid(f"its manifest is not that of its catalog: it {mismatch}", REMEDY)
    if mismatch := manifest_mismatch(contents.manifest, contents.models, lock):
        raise ArchiveInvalid(f"its manifest {mismatch}", _LOCK_REMEDY)
    for file in contents.files():
        blob = contents.blobs.get(file.path, "")
        is_blob = BLOB_NAME.fullmatch(blob) and (len(blob) == GIT_SHA1_LENGTH or blob == file.sha256)
        if file.place is PlaceName.HUB and not is_blob:
            raise ArchiveInvalid(f"its {DESCRIPTION} gives {file.path} a wrong blob", REMEDY)


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
