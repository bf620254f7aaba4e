"""Read the roots of garbage collection: the manifests, model records and references of a cache, as plain values.

A manifest roots the files of a generation, a model record the files of one verified model, and a reference names the
generation that one user of the cache needs. `read_roots` reads all of them and changes nothing.

The sweep moves the manifests and records that it is about to break into the folder `collected` before it deletes
files. There they are no roots any more, but they still list which files the warmer wrote, so the next run can finish
a sweep that was killed.

A manifest or a reference that cannot be read ends the run: what it needs is not known, so nothing may be deleted. A
model record that cannot be read is ignored: it roots nothing, and the next warm writes it again.

The records must fit (`model_cache.record_rules`): those of the current catalog its models and lock, the files of all
others the folder of their own source. Otherwise a record could make the sweep delete files of others.

A reference of a cluster is live while its Deployment exists. If the API server cannot answer, or if the reference
belongs to another cluster or to one that is not known, it counts as live.
"""

import errno
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from model_cache.catalog.catalog import Model, model_digest
from model_cache.catalog.lock import Lock
from model_cache.errors import ManifestInvalid
from model_cache.file_io import read_small_file
from model_cache.manifest import Manifest, ModelRecord, parse_manifest, parse_model_record
from model_cache.places import PlaceName, Places
from model_cache.record_rules import folder_mismatch, record_mismatch
from model_cache.references import Reference, read_references

# Error numbers of `read_small_file` for a file that is no regular file, or larger than its limit.
_NOT_A_RECORD: Final = frozenset({errno.EINVAL, errno.EFBIG})
# Limit of an API server's error in a message, in characters.
_MAX_MESSAGE: Final = 200

# A file of the cache: its place, and its path there.
FileKey: TypeAlias = tuple[PlaceName, str]
# Returns whether a namespace has a Deployment of that name: (namespace, name). May raise any exception.
DeploymentExists: TypeAlias = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class PublishedManifest:
    """The manifest of a complete generation.

    Attributes:
        generation: the id of the generation.
        path: the path of the manifest.
        written: its modification time, in seconds since the epoch.
        digests: the digests of its models.
    """

    generation: str
    path: Path
    written: float
    digests: frozenset[str]


@dataclass(frozen=True, slots=True)
class GcRoots:
    """Everything in a cache that keeps files, or that lists which files the warmer wrote.

    Attributes:
        manifests: the manifests of complete generations.
        records: the file of each model record, by the model's digest.
        files: the files of each known model, by its digest, including models that an earlier run was deleting.
        fetched: of each file that the warmer itself fetched, the times of its last change that records note.
        references: the reference in each file.
    """

    manifests: tuple[PublishedManifest, ...]
    records: Mapping[str, Path]
    files: Mapping[str, frozenset[FileKey]]
    references: Mapping[Path, Reference]
    fetched: Mapping[FileKey, frozenset[int]] = field(default_factory=dict)


def retired_folder(places: Places) -> Path:
    """Return the folder to which manifests and records are moved before their files are deleted."""
    return places.own.path / "collected"


def read_roots(places: Places, models: Sequence[Model] = (), lock: Lock | None = None) -> GcRoots:
    """Read the roots of a cache.

    Args:
        places: of the cache.
        models: of the current catalog.
        lock: of the current catalog.

    Raises:
        ManifestInvalid: a manifest or a reference cannot be read.
        OSError: a folder cannot be read.
    """
    files: dict[str, frozenset[FileKey]] = {}
    fetched: dict[FileKey, frozenset[int]] = {}
    manifests = []
    rules = _RecordRules({model_digest(model): model for model in models}, lock)
    for path in _json_files(places.own.path / "manifests"):
        manifest = _read_manifest(path, rules)
        digests = frozenset(record.digest for record in manifest.models)
        manifests.append(PublishedManifest(manifest.generation, path, path.stat().st_mtime, digests))
        _add_files(files, manifest.models)
    records = {}
    for path in _json_files(places.own.path / "models"):
        record = _read_record(path)
        if record is not None and not rules.mismatch(record):
            records[record.digest] = path
            _add_files(files, [record])
            _add_fetched(fetched, record)
    for path in _json_files(retired_folder(places)):
        retired = [record for record in _read_retired(path) if not folder_mismatch(record)]
        _add_files(files, retired)
        for record in retired:
            _add_fetched(fetched, record)
    references, unreadable = read_references(places)
    for path, why in unreadable.items():
        raise ManifestInvalid(
            f"{path}: {why}",
            f"let its release warm again, or drop it: cache-warmer collect --forget {path.stem}",
        )
    return GcRoots(tuple(manifests), records, files, references, fetched)


def dead_references(
    references: Mapping[Path, Reference],
    exists: DeploymentExists,
    warn: Callable[[str], None],
    clusters: Callable[[], Collection[str]],
) -> frozenset[Path]:
    """Return the files of the references whose Deployment does not exist any more.

    Args:
        references: the references by file; one without a Deployment is never dead.
        exists: queries the API server.
        warn: called with a sentence for each reference whose Deployment cannot be looked up.
        clusters: returns the identities of the cluster that `exists` queries.
    """
    releases = {path: one for path, one in references.items() if one.namespace and one.deployment}
    own = clusters() if releases else ()
    return frozenset(
        path for path, reference in releases.items() if not _is_live(path, reference, exists, warn, own)
    )


def _is_live(
    path: Path,
    reference: Reference,
    exists: DeploymentExists,
    warn: Callable[[str], None],
    own: Collection[str],
) -> bool:
    if not reference.cluster or reference.cluster not in own:
        where = (
            "belongs to another cluster" if reference.cluster and own else "has a cluster that is not known"
        )
        warn(
            f"{reference.name} counts as live: its Deployment {where}. If the release is gone, drop it with "
            f"--forget {path.stem}"
        )
        return True
    try:
        return exists(reference.namespace, reference.deployment)
    except Exception as error:  # noqa: BLE001  # no rights, no API server, no client: never a reason to delete
        cause = " ".join(str(error).split())[:_MAX_MESSAGE]
        warn(f"{reference.name} counts as live: its Deployment cannot be looked up ({cause})")
        return True


def _json_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


@dataclass(frozen=True, slots=True)
class _RecordRules:
    """What a record must fit: the current catalog's models by digest, and its lock."""

    models: Mapping[str, Model]
    lock: Lock | None

    def mismatch(self, record: ModelRecord) -> str:
        model = self.models.get(record.digest)
        return folder_mismatch(record) if model is None else record_mismatch(record, model, self.lock)


def _read_manifest(path: Path, rules: _RecordRules) -> Manifest:
    try:
        manifest = parse_manifest(_read(path))
        _require_fitting(manifest, rules)
    except ManifestInvalid as error:
        raise ManifestInvalid(
            f"{path}: {error.message}; what it needs is not known, so nothing is deleted",
            "run `cache-warmer repair` with its catalog, or delete that file if no release needs it",
        ) from error
    return manifest


def _require_fitting(manifest: Manifest, rules: _RecordRules) -> None:
    for record in manifest.models:
        if mismatch := rules.mismatch(record):
            raise ManifestInvalid(mismatch, "")


def _read_record(path: Path) -> ModelRecord | None:
    """Return the record; None if it cannot be trusted."""
    try:
        return parse_model_record(_read(path))
    except ManifestInvalid:
        return None


def _read_retired(path: Path) -> tuple[ModelRecord, ...]:
    """Return the models of a manifest or of a model record; none if it cannot be trusted."""
    try:
        content = _read(path)
    except ManifestInvalid:
        return ()
    try:
        return parse_manifest(content).models
    except ManifestInvalid:
        pass
    try:
        return (parse_model_record(content),)
    except ManifestInvalid:
        return ()


def _read(path: Path) -> bytes:
    try:
        return read_small_file(path)
    except OSError as error:
        if error.errno not in _NOT_A_RECORD:
            raise
        raise ManifestInvalid(error.strerror or str(error), "delete that file") from error


def _add_fetched(fetched: dict[FileKey, frozenset[int]], record: ModelRecord) -> None:
    for note in record.fetched:
        key = (note.place, note.path)
        fetched[key] = fetched.get(key, frozenset()) | {note.mtime}


def _add_files(files: dict[str, frozenset[FileKey]], records: Iterable[ModelRecord]) -> None:
    for record in records:
        keys = frozenset((file.place, file.path) for file in record.files)
        files[record.digest] = files.get(record.digest, frozenset()) | keys
