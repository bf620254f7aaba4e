"""The roots of garbage collection: the manifests, model records and references of a cache, as plain values.

A manifest roots the files of a generation, a model record the files of one verified model, and a reference names the
generation that one user of the cache needs. `read_roots` reads all of them and changes nothing.

The sweep moves the manifests and records that it is about to break into the folder `collected` before it deletes
files. There they are no roots any more, but they still list which files the warmer wrote, so the next run can finish
a sweep that was killed.

A manifest or a reference that cannot be read ends the run: what it needs is not known, so nothing may be deleted. A
model record that cannot be read is ignored: it roots nothing, and the next warm writes it again.

A reference of a cluster is live while its Deployment exists. If the API server cannot answer, the reference counts as
live.
"""

import errno
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from model_cache.errors import ManifestInvalid
from model_cache.file_io import read_small_file
from model_cache.manifest import Manifest, ModelRecord, parse_manifest, parse_model_record
from model_cache.places import PlaceName, Places
from model_cache.references import Reference, read_references

# What `read_small_file` raises for a file that is no regular file, or larger than its limit.
_NOT_A_RECORD: Final = frozenset({errno.EINVAL, errno.EFBIG})
# Of the message about an API server's answer, in characters.
_MAX_MESSAGE: Final = 200

# A file of the cache: its place, and its path there.
FileKey: TypeAlias = tuple[PlaceName, str]
# Returns whether a namespace has a Deployment of that name: (namespace, name). May raise any exception.
DeploymentExists: TypeAlias = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class PublishedManifest:
    """The manifest of a complete generation.

    Attributes:
        generation: its id.
        path: its file.
        written: when it was written, in seconds since the epoch.
        digests: of its models.
    """

    generation: str
    path: Path
    written: float
    digests: frozenset[str]


@dataclass(frozen=True, slots=True)
class GcRoots:
    """Everything in a cache that keeps files, or that lists which files the warmer wrote.

    Attributes:
        manifests: those of complete generations.
        records: the file of each model record, by the model's digest.
        files: the files of each known model, by its digest; also of models that an earlier run was deleting.
        references: the reference in each file.
    """

    manifests: tuple[PublishedManifest, ...]
    records: Mapping[str, Path]
    files: Mapping[str, frozenset[FileKey]]
    references: Mapping[Path, Reference]


def retired_folder(places: Places) -> Path:
    """Return where manifests and records are moved before their files are deleted."""
    return places.own.path / "collected"


def read_roots(places: Places) -> GcRoots:
    """Read the roots of a cache.

    Raises:
        ManifestInvalid: a manifest or a reference cannot be read.
        OSError: a folder cannot be read.
    """
    files: dict[str, frozenset[FileKey]] = {}
    manifests = []
    for path in _json_files(places.own.path / "manifests"):
        manifest = _read_manifest(path)
        digests = frozenset(record.digest for record in manifest.models)
        manifests.append(PublishedManifest(manifest.generation, path, path.stat().st_mtime, digests))
        _add_files(files, manifest.models)
    records = {}
    for path in _json_files(places.own.path / "models"):
        record = _read_record(path)
        if record is not None:
            records[record.digest] = path
            _add_files(files, [record])
    for path in _json_files(retired_folder(places)):
        _add_files(files, _read_retired(path))
    references, unreadable = read_references(places)
    for path, why in unreadable.items():
        raise ManifestInvalid(
            f"{path}: {why}",
            f"let its release warm again, or drop it: cache-warmer collect --forget {path.stem}",
        )
    return GcRoots(tuple(manifests), records, files, references)


def dead_references(
    references: Mapping[Path, Reference], exists: DeploymentExists, warn: Callable[[str], None]
) -> frozenset[Path]:
    """Return the files of the references whose Deployment does not exist any more.

    Args:
        references: by file; one without a Deployment is never dead.
        exists: queries the API server.
        warn: called with a sentence for each reference whose Deployment cannot be looked up.
    """
    return frozenset(
        path
        for path, reference in references.items()
        if reference.namespace and reference.deployment and not _is_live(reference, exists, warn)
    )


def _is_live(reference: Reference, exists: DeploymentExists, warn: Callable[[str], None]) -> bool:
    try:
        return exists(reference.namespace, reference.deployment)
    except Exception as error:  # noqa: BLE001  # no rights, no API server, no client: never a reason to delete
        cause = " ".join(str(error).split())[:_MAX_MESSAGE]
        warn(f"{reference.name} counts as live: its Deployment cannot be looked up ({cause})")
        return True


def _json_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _read_manifest(path: Path) -> Manifest:
    try:
        return parse_manifest(_read(path))
    except ManifestInvalid as error:
        raise ManifestInvalid(
            f"{path}: {error.message}; what it needs is not known, so nothing is deleted",
            "run `cache-warmer repair` with its catalog, or delete that file if no release needs it",
        ) from error


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


def _add_files(files: dict[str, frozenset[FileKey]], records: Iterable[ModelRecord]) -> None:
    for record in records:
        keys = frozenset((file.place, file.path) for file in record.files)
        files[record.digest] = files.get(record.digest, frozenset()) | keys
