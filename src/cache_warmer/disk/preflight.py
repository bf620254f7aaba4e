"""Says before the first byte whether the cache can be written and has room: one verdict, in one line.

A volume may be several mounts, so room is added up by file system. The verdict names the place, the cause
and the remedy; `plan` prints it, `warm` stops at it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.artifacts.artifact import SpaceNeeded
from cache_warmer.disk.probe import Findings, Probe, write_probe
from cache_warmer.disk.volume import Free, FreeOf, free_of, nearest_folder, no_space, of_os_error, with_margin
from cache_warmer.errors import VolumeError, VolumeUnsuitable
from model_cache.check.report import human_bytes
from model_cache.places import HOST, Place, PlaceName, Places
from model_cache.reasons import Reason

__all__ = ["Findings", "Probe", "Verdict", "preflight", "write_probe"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the preflight found.

    Attributes:
        reason: `OK`, `NO_SPACE`, `NO_PERMISSION` or `VOLUME_UNSUITABLE`.
        bytes_needed: with the margin, on the file system that is judged: the first that fails, else the
            one that the most is written to.
        bytes_free, inodes_free: of that file system; None: not known.
        detail: the verdict in one line.
        remedy: what to do; empty if all is well.
    """

    reason: Reason
    bytes_needed: int
    bytes_free: int | None
    inodes_free: int | None
    detail: str
    remedy: str = ""
    error: VolumeError | None = None


def preflight(
    rooms: Sequence[SpaceNeeded], places: Places, *, probe: Probe | None, free_here: FreeOf = free_of
) -> Verdict:
    """Return the verdict. `probe` None: judge space alone.

    A cache of our own is probed in all its places. On a host our own records are, and the places that something is to
    be fetched into: a hub's cache that others keep and we only read is as good as one of ours.
    """
    found: dict[PlaceName, Findings] = {}
    try:
        _demand_folders(places)
        if probe is not None:
            for place in _written_to(rooms, places):
                found[place.name] = _probe(place.path, probe, on_host=places.label == HOST)
    except VolumeError as error:
        return _failed(error, rooms, None)
    try:
        shares = _by_file_system([_with_copies(room, found) for room in rooms], places, free_here)
    except OSError as error:
        return _failed(of_os_error(error, places.own.path, on_host=places.label == HOST), rooms, None)
    for share in shares:
        problem = share.problem()
        if problem:
            return _failed(no_space(problem), rooms, share)
    largest = max(shares, key=lambda share: share.needed)
    detail = (
        f"OK: {human_bytes(largest.needed)} needed, {human_bytes(largest.free.bytes)} free at {largest.path}"
    ) + _remarks(found, places)
    return Verdict(Reason.OK, largest.needed, largest.free.bytes, largest.free.inodes, detail)


@dataclass(frozen=True, slots=True)
class _Share:
    """What is to be written to one file system."""

    path: Path
    free: Free
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


def _by_file_system(rooms: Sequence[SpaceNeeded], places: Places, free_here: FreeOf) -> list[_Share]:
    grouped: dict[int, list[tuple[Path, Free, SpaceNeeded | None]]] = defaultdict(list)
    for place in places.all():
        free = free_here(place.path)
        own = [room for room in rooms if room.place is place.name]
        grouped[free.device] += [(place.path, free, room) for room in own] or [(place.path, free, None)]
    return [
        _Share(
            path=next((path for path, _, room in group if room is not None and room.bytes), group[0][0]),
            free=group[0][1],
            bytes=sum(room.bytes for _, _, room in group if room is not None),
            inodes=sum(room.inodes for _, _, room in group if room is not None),
        )
        for group in grouped.values()
    ]


def _demand_folders(places: Places) -> None:
    """A cache folder that nobody made is made, its parents are not: a typo must not fill another disk."""
    if places.own.chosen_by == "--cache":
        root = places.own.path.parent
        if not root.exists() and not root.parent.is_dir():
            raise VolumeUnsuitable(
                f"{root} cannot be made: {nearest_folder(root)} is as far as its path exists"
                if nearest_folder(root).is_dir()
                else f"{root} cannot be made: {nearest_folder(root)} is a file",
                "correct --cache, mount the volume, or make the folder",
            )
    for place in places.all():
        there = nearest_folder(place.path)
        if not there.is_dir():
            raise VolumeUnsuitable(
                f"{there} is a file, where a folder for the cache should be",
                "name a folder with --cache, or remove it",
            )


def _written_to(rooms: Sequence[SpaceNeeded], places: Places) -> tuple[Place, ...]:
    if places.label != HOST:
        return places.all()
    wanted = {PlaceName.OWN, *(room.place for room in rooms if room.bytes or room.inodes)}
    return tuple(place for place in places.all() if place.name in wanted)


def _with_copies(room: SpaceNeeded, found: Mapping[PlaceName, Findings]) -> SpaceNeeded:
    """Return the room that is taken where copies stand in for links: that of the blob, and that of the copy."""
    if room.place not in found or found[room.place].links:
        return room
    return SpaceNeeded(room.place, 2 * room.bytes, room.inodes)


def _remarks(found: Mapping[PlaceName, Findings], places: Places) -> str:
    """Return what the volumes cannot do, a remark once: places mostly lie on one volume."""
    said: dict[str, Path] = {}
    for name, findings in found.items():
        for remark in findings.remarks():
            said.setdefault(remark, nearest_folder(places.of(name).path))
    return "".join(f"; {path} has {remark}" for remark, path in said.items())


def _probe(path: Path, probe: Probe, *, on_host: bool) -> Findings:
    try:
        return probe(nearest_folder(path))
    except OSError as error:
        error.filename = str(nearest_folder(path))
        raise of_os_error(error, path, on_host=on_host) from error


def _failed(error: VolumeError, rooms: Sequence[SpaceNeeded], share: _Share | None) -> Verdict:
    needed = share.needed if share is not None else with_margin(sum(room.bytes for room in rooms))
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
