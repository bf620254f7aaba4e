"""What the cache promises and to whom: its manifests, its model records and its references, read as plain values.

A run that deletes first moves the promises that it breaks aside, into `collected`. There they promise nothing, and
still say which files were ours, so that a run that was killed is ended by the next.

Which releases still live: those whose Deployment the API server knows. Whatever cannot be asked counts as
living.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_cache.errors import ManifestInvalid
from model_cache.manifest import Manifest, ModelRecord, parse_manifest, parse_model_record
from model_cache.places import PlaceName, Places
from model_cache.references import Reference, read_references

# A file of the cache: its place, and its path there.
FileKey = tuple[PlaceName, str]


@dataclass(frozen=True, slots=True)
class Published:
    """A manifest: its generation, file, the time it was written (seconds since the epoch), and its models' digests."""

    generation: str
    path: Path
    written: float
    digests: frozenset[str]


@dataclass(frozen=True, slots=True)
class GcRoots:
    """All of them.

    Attributes:
        manifests: those of complete generations.
        records: the file of each verified model, by digest.
        files: of every model that any of these knows, by digest; also of what is being deleted.
        aside: manifests and records that an earlier run moved aside.
        references: who needs what, by file.
    """

    manifests: tuple[Published, ...]
    records: Mapping[str, Path]
    files: Mapping[str, frozenset[FileKey]]
    aside: tuple[Path, ...]
    references: Mapping[Path, Reference]


def aside_folder(places: Places) -> Path:
    """Return where manifests and records go before their files are deleted."""
    return places.own.path / "collected"


def read_promises(places: Places) -> GcRoots:
    """Read them. Raises `ManifestInvalid` for one that cannot be read: it may need what others do not."""
    files: dict[str, frozenset[FileKey]] = {}
    manifests = []
    for path in _json_files(places.own.path / "manifests"):
        manifest = _manifest(path)
        manifests.append(
            Published(
                manifest.generation,
                path,
                path.stat().st_mtime,
                frozenset(record.digest for record in manifest.models),
            )
        )
        _add(files, manifest.models)
    records = {}
    for path in _json_files(places.own.path / "models"):
        record = _record(path)
        if record is not None:
            records[record.digest] = path
            _add(files, [record])
    aside = tuple(_json_files(aside_folder(places)))
    for path in aside:
        _add(files, _either(path))
    references, bad = read_references(places)
    for path, why in bad.items():
        raise ManifestInvalid(
            f"{path}: {why}",
            f"let its release warm again, or drop it: cache-warmer collect --forget {path.stem}",
        )
    return GcRoots(tuple(manifests), records, files, aside, references)


def _json_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _manifest(path: Path) -> Manifest:
    try:
        return parse_manifest(path.read_bytes())
    except ManifestInvalid as error:
        raise ManifestInvalid(
            f"{path}: {error.message}; what it needs is not known, so nothing is deleted",
            "run `cache-warmer repair` with its catalog, or delete that file if no release needs it",
        ) from error


def _record(path: Path) -> ModelRecord | None:
    """Return the record; None if it cannot be trusted: it promises nothing, and a warm writes it anew."""
    try:
        return parse_model_record(path.read_bytes())
    except ManifestInvalid:
        return None


def _either(path: Path) -> tuple[ModelRecord, ...]:
    content = path.read_bytes()
    try:
        return parse_manifest(content).models
    except ManifestInvalid:
        pass
    try:
        return (parse_model_record(content),)
    except ManifestInvalid:
        return ()


def _add(files: dict[str, frozenset[FileKey]], records: Iterable[ModelRecord]) -> None:
    for record in records:
        keys = frozenset((file.place, file.path) for file in record.files)
        files[record.digest] = files.get(record.digest, frozenset()) | keys


# Asks whether a namespace has a Deployment of that name. Raises whatever the way to the answer raises.
Exists = Callable[[str, str], bool]


def dead_releases(
    references: Mapping[Path, Reference], exists: Exists, tell: Callable[[str], None]
) -> frozenset[Path]:
    """Return the files of references whose Deployment is gone. `tell` is called for each that cannot be asked."""
    return frozenset(path for path in _of_a_release(references) if not _lives(references[path], exists, tell))


def _of_a_release(references: Mapping[Path, Reference]) -> Iterable[Path]:
    return (path for path, reference in references.items() if reference.namespace and reference.deployment)


def _lives(reference: Reference, exists: Exists, tell: Callable[[str], None]) -> bool:
    try:
        return exists(reference.namespace, reference.deployment)
    except Exception as error:  # noqa: BLE001  # no rights, no API server, no client: never a reason to delete
        said = " ".join(str(error).split())[:200]
        tell(f"{reference.name} counts as living: its Deployment cannot be asked for ({said})")
        return True
