"""Probe of a volume: tries in a temporary folder every operation that the cache needs, and removes the folder.

Some volumes accept a write and still cannot hold a cache: no rename over a file, no sync, no memory mapping. These
failures end a run before its first byte (`VolumeUnsuitable`). Others lack features that the cache can do without:
symbolic links, modes, locks. These are reported as `VolumeFeatures`.

A probe holds a lock on a file in its folder while it runs. One that was killed leaves its folder behind; the next
probe removes folders whose lock is free, and, where there are no locks, those that are ten minutes old.
"""

import contextlib
import errno
import mmap
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.disk.file_lock import ABANDONED_SECONDS, LockResult, is_abandoned, try_lock
from cache_warmer.disk.volume import is_temporary
from cache_warmer.errors import VolumeUnsuitable
from model_cache.file_io import sync_folder

# Beginning of the name of a probe's folder.
PROBE_PREFIX: Final = ".qda-probe-"
# Failures that concern the volume as a whole, not a missing feature: full, denied, or broken.
_VOLUME_ERRORS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.ESTALE}
)


# Tries with a new folder, if another probe removes the one in use.
_ATTEMPTS: Final = 10


@dataclass(frozen=True, slots=True)
class VolumeFeatures:
    """Features that the cache can do without.

    Attributes:
        links: whether relative symbolic links work; otherwise files are copied, which takes twice the space.
        readable: whether files can be given modes by which other users may read them.
        locks: whether a lock excludes a second holder; None if there are no locks.
        case: whether two names may differ in case alone.
    """

    links: bool = True
    readable: bool = True
    locks: bool | None = True
    case: bool = True

    def limitations(self) -> tuple[str, ...]:
        """Return the consequences of missing features, one phrase each; empty if none is missing."""
        phrases = (
            (self.links, "no symbolic links, so that copies take twice the space"),
            (self.readable, "no modes, so that its mount decides who may read"),
            (
                self.locks is not False,
                "locks that do not exclude a second holder, so run one warmer at a time",
            ),
            (self.locks is not None, "no locks, so run one warmer at a time"),
            (self.case, "one file for names that differ in case alone"),
        )
        return tuple(phrase for present, phrase in phrases if not present)


# Probes a folder and leaves nothing behind. Raises `OSError` and `VolumeUnsuitable`.
Probe = Callable[[Path], VolumeFeatures]


def write_probe(folder: Path) -> VolumeFeatures:
    """Probe a folder by writing into it.

    Raises:
        OSError: nothing can be written there.
        VolumeUnsuitable: an operation that the cache needs fails there.
    """
    _remove_abandoned(folder)
    for _ in range(_ATTEMPTS):
        features = _probe_in(folder / f"{PROBE_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
        if features is not None:
            return features
    raise OSError(errno.ENOENT, "another program removes the folders of this one", str(folder))


def _probe_in(trial: Path) -> VolumeFeatures | None:
    """Probe in a new folder; None if another probe, to which this one seemed dead, took the folder away meanwhile."""
    trial.mkdir()
    try:
        with _locked(trial / "lock") as descriptor:
            features = _try_operations(trial, descriptor)
    except (OSError, VolumeUnsuitable):
        if trial.is_dir():
            raise
        return None
    else:
        return features if trial.is_dir() else None
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _try_operations(trial: Path, lock: int) -> VolumeFeatures:
    file = trial / "File"
    with _required(file, "a file cannot be written and synced"):
        _write(file, b"one")
        _write(trial / "new", b"two")
    with _required(file, "a file cannot be renamed over another one"):
        os.replace(trial / "new", file)
        if file.read_bytes() != b"two":
            raise OSError(errno.EIO, "the old content is still there")
    if os.name == "posix":
        with _required(trial, "a folder cannot be synced"):
            sync_folder(trial)
    with _required(file, "a file cannot be mapped into memory"):
        _map(file)
    return VolumeFeatures(
        links=_supports_links(trial, file),
        readable=_supports_modes(file),
        locks=_lock_excludes(trial / "lock", lock),
        case=not (trial / "fILE").exists(),
    )


@contextmanager
def _required(path: Path, failed: str) -> Iterator[None]:
    """Turn the failure of an operation that the cache needs into `VolumeUnsuitable`."""
    try:
        yield
    except OSError as error:
        if error.errno in _VOLUME_ERRORS or is_temporary(error):
            raise
        raise VolumeUnsuitable(
            f"{path.parent.parent}: {failed} ({error.strerror or error})",
            "choose a volume with POSIX semantics: a local disk, NFS, CephFS, not an object store mounted as files",
        ) from error


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _map(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        mapped.read(1)


def _supports_links(trial: Path, file: Path) -> bool:
    try:
        for name in ("link", "newer"):
            os.symlink(file.name, trial / name)
        os.replace(trial / "newer", trial / "link")
        return os.readlink(trial / "link") == file.name and (trial / "link").read_bytes() == b"two"
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and (error.errno in _VOLUME_ERRORS or is_temporary(error)):
            raise
        return False


def _supports_modes(file: Path) -> bool:
    if os.name != "posix":
        return True
    with contextlib.suppress(OSError):
        file.chmod(0o644)
    return stat.S_IMODE(file.stat().st_mode) & 0o044 == 0o044


def _lock_excludes(path: Path, held: int) -> bool | None:
    """Return whether the lock of the descriptor `held` is refused to a second one; None if there are no locks."""
    if try_lock(held) is LockResult.NOT_POSSIBLE:
        return None
    second = os.open(path, os.O_RDWR)
    try:
        return try_lock(second) is LockResult.HELD_BY_ANOTHER
    finally:
        os.close(second)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Yield a locked descriptor: other probes see by the lock that this one is alive."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        try_lock(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"{PROBE_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink() and _is_abandoned(path):
                # first as a whole: its owner, if it lives, must not take a missing file for a fault of the volume
                removed = path.with_name(f"{PROBE_PREFIX}removed-{secrets.token_hex(4)}")
                path.rename(removed)
                shutil.rmtree(removed, ignore_errors=True)


def _is_abandoned(path: Path) -> bool:
    try:
        return is_abandoned(path / "lock")
    except OSError:  # killed before it created the file, or about to create it
        return time.time() - path.stat().st_mtime > ABANDONED_SECONDS
