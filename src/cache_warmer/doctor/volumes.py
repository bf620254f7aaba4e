"""The places of the cache and the volumes below them: access, features and space.

The probe is that of the preflight (`disk.probe`): files, `fsync`, rename, memory mapping, links, modes and locks, in a
temporary folder that is removed. A place that does not exist yet stands for its nearest folder.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cache_warmer.disk.atomic import is_obstacle, obstacle_error, require_inside
from cache_warmer.disk.probe import Probe
from cache_warmer.disk.volume import (
    FreeSpace,
    MeasureFreeSpace,
    Mount,
    measure_free_space,
    mount_of,
    nearest_folder,
    no_space_error,
    volume_error,
)
from cache_warmer.doctor.diagnosis import Finding, Severity, from_error
from cache_warmer.doctor.report import PlaceState
from cache_warmer.errors import VolumeError
from model_cache.check.permissions import blocking_path, current_user, owner_and_mode, permission_remedy
from model_cache.formatting import human_bytes
from model_cache.places import HOST, Place, PlaceName, Places
from model_cache.reasons import Reason

# Free bytes and inodes below which nothing can be written any more, and below which few models fit.
_NO_BYTES, _FEW_BYTES = 16 << 20, 1 << 30
_NO_INODES, _FEW_INODES = 64, 2000
# File systems in memory, or in the writable layer of a container: what is stored there is lost.
_TRANSIENT: Final = {
    "tmpfs": "in memory, and is lost at the next start of this machine",
    "ramfs": "in memory, and is lost at the next start of this machine",
    "overlay": "in the writable layer of a container, and is lost with the container",
    "aufs": "in the writable layer of a container, and is lost with the container",
}
# File systems of another machine, or of the host of a virtual machine.
_REMOTE: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "drvfs", "ceph", "lustre", "gpfs"}
)


def place_states(places: Places, free_space: MeasureFreeSpace = measure_free_space) -> tuple[PlaceState, ...]:
    """Return the state of each place for the report. Never raises."""
    states = []
    for place in places.all():
        free, mount = _free(place.path, free_space), mount_of(_nearest(place.path))
        states.append(
            PlaceState(
                str(place.name),
                place.path,
                place.chosen_by,
                str(mount) if mount is not None else "",
                free.bytes if free is not None else None,
                free.inodes if free is not None else None,
            )
        )
    return tuple(states)


def check_volumes(
    places: Places, probe: Probe | None, free_space: MeasureFreeSpace = measure_free_space
) -> Iterator[Finding]:
    """Yield the findings about the places.

    Args:
        places: the places of the cache.
        probe: probes a folder; None: only permissions and space are checked.
        free_space: measures the free space of a folder.
    """
    probed: set[Path] = set()
    closed: dict[Path, list[Place]] = defaultdict(list)
    for place in places.all():
        folder = _nearest(place.path)
        obstacles = list(_check_shape(place, places))
        yield from obstacles
        if obstacles:
            continue
        if (barrier := _barrier(place.path, folder)) is not None:
            closed[barrier].append(place)
        elif probe is not None and folder not in probed:
            probed.add(folder)
            yield from _check_by_probe(place, folder, places, probe)
    for barrier, behind in closed.items():
        yield _closed_finding(barrier, behind)
    yield from _check_space(places, free_space)


def _check_shape(place: Place, places: Places) -> Iterator[Finding]:
    """Yield a finding if something else has the name of a place, or of a folder on the way to it."""
    try:
        for path in (*reversed(place.path.parents), place.path):
            if is_obstacle(path):
                raise obstacle_error(path)
        require_inside(place.path, places.boundary_of(place.path))
    except VolumeError as error:
        yield from_error(error, "place")


def _barrier(path: Path, folder: Path) -> Path | None:
    """Return what keeps this user from reading a place, of which `folder` exists; None if nothing does."""
    barrier = blocking_path(path)
    if barrier != path:
        return barrier
    return folder if folder == path and not os.access(folder, os.R_OK | os.X_OK) else None


def _closed_finding(barrier: Path, places: Sequence[Place]) -> Finding:
    names = ", ".join(place.name for place in places)
    return Finding(
        Severity.ERROR,
        "place",
        Reason.NO_PERMISSION,
        f"{barrier} is {_owner(barrier)}, so that this user cannot read the places {names}",
        permission_remedy(barrier, current_user(), write=False),
        tuple(str(place.path) for place in places),
    )


def _check_by_probe(place: Place, folder: Path, places: Places, probe: Probe) -> Iterator[Finding]:
    on_host = places.label == HOST
    try:
        features = probe(folder)
    except OSError as error:
        error.filename = str(folder)
        found = volume_error(error, place.path, on_host=on_host)
        # on a host a cache of others that can be read is of use; our records must be written
        readable = on_host and place.name is not PlaceName.OWN and folder == place.path
        severity = Severity.WARNING if readable and found.reason is Reason.NO_PERMISSION else Severity.ERROR
        yield from_error(found, "place", severity)
    except VolumeError as error:
        yield from_error(error, "place")
    else:
        for limitation in features.limitations():
            yield Finding(
                Severity.WARNING,
                "volume",
                Reason.VOLUME_UNSUITABLE,
                f"the volume of {folder} has {limitation}",
                "choose a volume with POSIX semantics, or accept this limitation",
            )


def _check_space(places: Places, free_space: MeasureFreeSpace) -> Iterator[Finding]:
    """Yield the findings about space and kind of each file system once."""
    devices: set[int] = set()
    for place in places.all():
        free = _free(place.path, free_space)
        if free is None or free.device in devices:
            continue
        devices.add(free.device)
        yield from _space_findings(place.path, free)
        mount = mount_of(_nearest(place.path))
        if mount is not None:
            yield from _kind_findings(place.path, mount)


def _space_findings(path: Path, free: FreeSpace) -> Iterator[Finding]:
    numbers = [(free.bytes, _NO_BYTES, _FEW_BYTES, human_bytes(free.bytes))]
    if free.inodes is not None:
        numbers.append((free.inodes, _NO_INODES, _FEW_INODES, f"{free.inodes} inodes"))
    for number, none, few, text in numbers:
        if number < few:
            severity = Severity.ERROR if number < none else Severity.WARNING
            yield from_error(no_space_error(f"{path}: only {text} are free"), "space", severity)


def _kind_findings(path: Path, mount: Mount) -> Iterator[Finding]:
    if mount.kind in _TRANSIENT:
        yield Finding(
            Severity.WARNING,
            "volume",
            Reason.VOLUME_UNSUITABLE,
            f"{path} is {_TRANSIENT[mount.kind]} ({mount})",
            "mount a volume there, or choose a folder on one with --cache",
        )
    elif mount.kind in _REMOTE or mount.kind.startswith("fuse"):
        yield Finding(
            Severity.NOTE,
            "volume",
            Reason.OK,
            f"{path} is on a file system of another machine or a program ({mount}): that limits how fast models load",
        )


def _free(path: Path, free_space: MeasureFreeSpace) -> FreeSpace | None:
    try:
        return free_space(path)
    except (OSError, ValueError):
        return None


def _nearest(path: Path) -> Path:
    try:
        return nearest_folder(path)
    except ValueError:  # a NUL
        return path


def _owner(path: Path) -> str:
    try:
        return owner_and_mode(path)
    except OSError as error:
        return f"closed ({error.strerror})"
