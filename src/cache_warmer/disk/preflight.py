"""Preflight: decides before the first byte whether the cache can be written and has enough space.

The parts of a cache may lie on several file systems, so the needed space is added up per file system. The verdict names
the place, the cause and the remedy in one line; `plan` prints it, `warm` and `import` stop at it.

Order: the folders exist or can be created, the names can be stored (`name_limits`), each place that is written to
passes the probe (`probe`), then the space. The first failure is the verdict.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cache_warmer.disk.atomic import is_obstacle, obstacle_error, require_inside, require_usable
from cache_warmer.disk.name_limits import require_storable
from cache_warmer.disk.probe import Probe, VolumeFeatures
from cache_warmer.disk.volume import (
    FreeSpace,
    MeasureFreeSpace,
    measure_free_space,
    nearest_folder,
    no_space_error,
    volume_error,
    with_margin,
)
from cache_warmer.errors import VolumeError, VolumeUnsuitable
from model_cache.formatting import human_bytes
from model_cache.places import HOST, Place, PlaceName, Places
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class SpaceNeeded:
    """Space that files to be written need in a place, on top of what is staged there."""

    place: PlaceName
    bytes: int
    inodes: int
    # Folder of the place that holds the files, if it is a link to another disk (on a host); None: any.
    linked: Path | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of the preflight.

    Attributes:
        reason: `OK`, `NO_SPACE`, `NO_PERMISSION` or `VOLUME_UNSUITABLE`.
        bytes_needed: with the margin, on the file system that the verdict is about: the first that fails, else the
            one that gets the most bytes.
        bytes_free: free bytes of that file system; None if not known.
        inodes_free: free inodes of that file system; None if not known.
        detail: the verdict in one line.
        remedy: what to do; empty if all is well.
        error: the error to raise; None if all is well.
    """

    reason: Reason
    bytes_needed: int
    bytes_free: int | None
    inodes_free: int | None
    detail: str
    remedy: str = ""
    error: VolumeError | None = None


def preflight(
    needs: Sequence[SpaceNeeded],
    places: Places,
    *,
    probe: Probe | None,
    free_space: MeasureFreeSpace = measure_free_space,
    folders: Iterable[Path] = (),
    files: Iterable[tuple[PlaceName, str]] = (),
) -> Verdict:
    """Return the verdict.

    Args:
        needs: the space that is needed, by place.
        places: where the parts of the cache lie. A cache of our own is probed in all of them. On a host only our
            records are, and the places that something is fetched into: a hub cache that we only read need not be
            writable.
        probe: probes a folder; None to check the space alone.
        free_space: measures the free space of a folder.
        folders: folders of the cache that will be written to; none may lead out of it, or be something else.
        files: files that will be written, by place and path there.
    """
    features: dict[PlaceName, VolumeFeatures] = {}
    on_host = places.label == HOST
    try:
        _require_folders(places)
        for folder in sorted(folders):
            require_usable(folder, places.boundary_of(folder))
        require_storable(files, places)
        if probe is not None:
            for place in _written_places(needs, places):
                features[place.name] = _probe(place.path, probe, on_host=on_host)
            for need in needs:
                if need.linked is not None and (need.bytes or need.inodes):
                    features[need.place] = _probe(need.linked, probe, on_host=on_host)
    except VolumeError as error:
        return _failure(error, needs, None)
    try:
        shares = _by_file_system([_with_copies(need, features) for need in needs], places, free_space)
    except OSError as error:
        return _failure(volume_error(error, places.own.path, on_host=on_host), needs, None)
    for share in shares:
        problem = share.problem()
        if problem:
            return _failure(no_space_error(problem), needs, share)
    largest = max(shares, key=lambda share: share.needed)
    detail = (
        f"OK: {human_bytes(largest.needed)} needed, {human_bytes(largest.free.bytes)} free at {largest.path}"
    ) + _limitations(features, places)
    return Verdict(Reason.OK, largest.needed, largest.free.bytes, largest.free.inodes, detail)


@dataclass(frozen=True, slots=True)
class _FileSystemShare:
    """What is to be written to one file system."""

    path: Path
    free: FreeSpace
    bytes: int
    inodes: int

    @property
    def needed(self) -> int:
        return with_margin(self.bytes)

    def problem(self) -> str:
        if self.free.bytes < self.needed:
            return (
                f"{self.path}: {human_bytes(self.needed)} are needed (with a margin), "
                f"{human_bytes(self.free.bytes)} are free"
            )
        if self.free.inodes is not None and self.free.inodes < self.inodes:
            return f"{self.path}: {self.inodes} inodes are needed, {self.free.inodes} are free"
        return ""


def _by_file_system(
    needs: Sequence[SpaceNeeded], places: Places, free_space: MeasureFreeSpace
) -> list[_FileSystemShare]:
    grouped: dict[int, list[tuple[Path, FreeSpace, SpaceNeeded | None]]] = defaultdict(list)
    for place in places.all():
        free = free_space(place.path)
        own = [need for need in needs if need.place is place.name]
        if not own:
            grouped[free.device].append((place.path, free, None))
        for need in own:
            path = need.linked or place.path
            on_disk = free_space(path) if need.linked is not None else free
            grouped[on_disk.device].append((path, on_disk, need))
    return [
        _FileSystemShare(
            path=next((path for path, _, need in group if need is not None and need.bytes), group[0][0]),
            free=group[0][1],
            bytes=sum(need.bytes for _, _, need in group if need is not None),
            inodes=sum(need.inodes for _, _, need in group if need is not None),
        )
        for group in grouped.values()
    ]


def _require_folders(places: Places) -> None:
    """Require that the folders exist or can be created.

    The root of a cache is created, its parents are not: a typo in `--cache` must not fill another disk.
    """
    if places.own.chosen_by == "--cache":
        root = places.own.path.parent
        if not root.exists() and not root.parent.is_dir():
            nearest = nearest_folder(root)
            obstacle = "is as far as its path exists" if nearest.is_dir() else "is a file"
            raise VolumeUnsuitable(
                f"{root} cannot be created: {nearest} {obstacle}",
                "correct --cache, mount the volume, or create the folder",
            )
    require_contained(places)


def require_contained(places: Places) -> None:
    """Require that no place leads out of the cache, and that nothing else has the name of one.

    Raises:
        VolumeUnsuitable: one does, or has.
    """
    for place in places.all():
        require_inside(place.path, places.boundary_of(place.path))
        for path in (*reversed(place.path.parents), place.path):
            if is_obstacle(path):
                raise obstacle_error(path)


def _written_places(needs: Sequence[SpaceNeeded], places: Places) -> tuple[Place, ...]:
    if places.label != HOST:
        return places.all()
    written = {PlaceName.OWN, *(need.place for need in needs if need.bytes or need.inodes)}
    return tuple(place for place in places.all() if place.name in written)


def _with_copies(need: SpaceNeeded, features: Mapping[PlaceName, VolumeFeatures]) -> SpaceNeeded:
    """Return the space for the blob and its copy where there are no links, else the space unchanged."""
    if need.place not in features or features[need.place].links:
        return need
    return replace(need, bytes=2 * need.bytes)


def _limitations(features: Mapping[PlaceName, VolumeFeatures], places: Places) -> str:
    """Return the limitations of the volumes, each once: places mostly lie on one volume."""
    paths: dict[str, Path] = {}
    for name, of_volume in features.items():
        for limitation in of_volume.limitations():
            paths.setdefault(limitation, nearest_folder(places.of(name).path))
    return "".join(f"; {path} has {limitation}" for limitation, path in paths.items())


def _probe(path: Path, probe: Probe, *, on_host: bool) -> VolumeFeatures:
    folder = nearest_folder(path)
    try:
        return probe(folder)
    except OSError as error:
        error.filename = str(folder)
        raise volume_error(error, path, on_host=on_host) from error


def _failure(error: VolumeError, needs: Sequence[SpaceNeeded], share: _FileSystemShare | None) -> Verdict:
    needed = share.needed if share is not None else with_margin(sum(need.bytes for need in needs))
    free = share.free if share is not None else None
    return Verdict(
        error.reason,
        needed,
        free.bytes if free is not None else None,
        free.inodes if free is not None else None,
        str(error),
        error.remedy,
        error,
    )
