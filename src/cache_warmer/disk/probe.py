"""Tries in a folder what the cache will do there, and leaves nothing behind.

Some volumes take a write and yet cannot hold a cache: no rename over a file, no sync, no mapping. Others can with less:
no symbolic links, no modes, locks that exclude nobody. The first end a run before its first byte; the second are told.
What a killed probe left is removed by the next one.
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

from cache_warmer.disk.file_lock import LockResult, try_lock
from cache_warmer.errors import VolumeUnsuitable

PREFIX: Final = ".qda-probe-"
# Age at which a probe whose maker cannot be asked counts as left behind.
_LEFT_BEHIND_SECONDS: Final = 600.0
_ABOUT_THE_VOLUME: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.ESTALE}
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a volume cannot do and the cache can do without.

    Attributes:
        links: whether relative symbolic links work; else copies stand in for them, at twice the room.
        readable: whether files can be given modes by which other users may read them.
        locks: whether a lock excludes a second holder; None: there are none.
        case: whether two names may differ in case alone.
    """

    links: bool = True
    readable: bool = True
    locks: bool | None = True
    case: bool = True

    def remarks(self) -> tuple[str, ...]:
        """Return what follows from it, a phrase each; empty if all is well."""
        said = (
            (self.links, "no symbolic links, so that copies take twice the room"),
            (self.readable, "no modes, so that its mount decides who may read"),
            (self.locks is not False, "locks that exclude nobody, so run one warmer at a time"),
            (self.locks is not None, "no locks, so run one warmer at a time"),
            (self.case, "one file for names that differ in case alone"),
        )
        return tuple(phrase for well, phrase in said if not well)


# Tries what the cache does in a folder, leaving nothing behind. Raises `OSError`, `VolumeUnsuitable`.
Probe = Callable[[Path], Findings]


def write_probe(folder: Path) -> Findings:
    """Try everything. Raises `OSError` where nothing can be written, `VolumeUnsuitable` for what fails there."""
    _remove_left_behind(folder)
    trial = folder / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    trial.mkdir()
    try:
        with _locked(trial / "lock") as descriptor:
            return _try_all(trial, descriptor)
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _try_all(trial: Path, lock: int) -> Findings:
    file = trial / "File"
    with _demanded(file, "a file cannot be written and synced"):
        _write(file, b"one")
        _write(trial / "new", b"two")
    with _demanded(file, "a file cannot be renamed over another one"):
        os.replace(trial / "new", file)
        if file.read_bytes() != b"two":
            raise OSError(errno.EIO, "the old content is still there")
    if os.name == "posix":
        with _demanded(trial, "a folder cannot be synced"):
            _sync_folder(trial)
    with _demanded(file, "a file cannot be mapped into memory"):
        _map(file)
    return Findings(
        links=_links_work(trial, file), readable=_is_readable(file), locks=_excludes(trial / "lock", lock),
        case=not (trial / "fILE").exists(),
    )  # fmt: skip


@contextmanager
def _demanded(path: Path, failed: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _ABOUT_THE_VOLUME:
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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _map(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        mapped.read(1)


def _links_work(trial: Path, file: Path) -> bool:
    try:
        for name in ("link", "newer"):
            os.symlink(file.name, trial / name)
        os.replace(trial / "newer", trial / "link")
        return os.readlink(trial / "link") == file.name and (trial / "link").read_bytes() == b"two"
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in _ABOUT_THE_VOLUME:
            raise
        return False


def _is_readable(file: Path) -> bool:
    if os.name != "posix":
        return True
    with contextlib.suppress(OSError):
        file.chmod(0o644)
    return stat.S_IMODE(file.stat().st_mode) & 0o044 == 0o044


def _excludes(path: Path, held: int) -> bool | None:
    """Whether a lock that `held` has is refused to whoever opens the file anew."""
    if try_lock(held) is LockResult.NOT_POSSIBLE:
        return None
    second = os.open(path, os.O_RDWR)
    try:
        return try_lock(second) is LockResult.HELD_BY_ANOTHER
    finally:
        os.close(second)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold a lock by which others see that this probe is alive."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        try_lock(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_left_behind(folder: Path) -> None:
    for path in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink() and _is_left_behind(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_left_behind(path: Path) -> bool:
    old = time.time() - path.stat().st_mtime > _LEFT_BEHIND_SECONDS
    try:
        descriptor = os.open(path / "lock", os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:  # killed before it made one, or about to
        return old
    try:
        result = try_lock(descriptor)
    finally:
        os.close(descriptor)
    return result is LockResult.TAKEN or (result is LockResult.NOT_POSSIBLE and old)
