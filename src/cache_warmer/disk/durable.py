"""Writes that survive a crash, with modes that other users of a shared volume can read.

A file appears under its final name by rename only, after its content is on disk. Files are 0644, folders
0755. Below a set-group-id folder that its group may write (a volume shared by a group) both stay writable
for the group, because that is what its administrator set up.
"""

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
import threading
from pathlib import Path

from cache_warmer.disk.obstacles import clear_way

_FILE, _FOLDER = 0o644, 0o755
_GROUP_WRITE = 0o020
_making_shared = threading.Lock()
"""A folder that is renamed onto an empty one takes it from under whoever is about to write there."""


def make_folders(path: Path) -> None:
    """Create a folder and its missing parents, their names on disk. Raises ``OSError``.

    On a volume that a group shares a folder appears with its modes: whoever sees it may write below it at once, and
    what is made there takes them over. Elsewhere its owner alone writes, whom no mode of ours keeps out.
    """
    if path.is_dir():
        return
    make_folders(path.parent)
    if _shared_group(path.parent):
        with _making_shared:
            _make_shared(path)
    else:
        _make_own(path)
    sync_folder(path.parent)


def _make_own(path: Path) -> None:
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    with contextlib.suppress(PermissionError):  # another writer replaced it: its modes are its own
        path.chmod(_FOLDER | path.stat().st_mode & stat.S_ISGID)


def _make_shared(path: Path) -> None:
    """Make a folder under another name, open it to the group, and rename it; another's that is there first stays."""
    if path.is_dir():
        return
    made = temporary_name(path)
    made.mkdir()
    try:
        made.chmod(_FOLDER | _GROUP_WRITE | made.stat().st_mode & stat.S_ISGID)
        if not path.is_dir():
            # onto another's, made in this moment, that is empty: as good as that; onto one with files: refused
            made.rename(path)
            return
    except OSError:
        made.rmdir()
        if not path.is_dir():
            raise
        return
    made.rmdir()


def temporary_name(path: Path) -> Path:
    """Return a name beside that one which nobody else uses: two pods on one volume may have the same process id."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")


def readable_by_all(descriptor: int, folder: Path) -> None:
    """Give an open file the modes of the cache."""
    if hasattr(os, "fchmod"):  # Windows has no modes to give
        os.fchmod(descriptor, _FILE | _shared_group(folder))


def write_file(path: Path, content: bytes) -> None:
    """Write a file by rename, synced; what stood under that name stays until then, a folder is moved beside it.

    Raises ``OSError``.
    """
    make_folders(path.parent)
    clear_way(path, path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            readable_by_all(file.fileno(), path.parent)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def copy_file(source: Path, path: Path) -> None:
    """Copy a file by rename, synced: the stand-in for a link. Raises ``OSError``."""
    make_folders(path.parent)
    temporary = temporary_name(path)
    try:
        with source.open("rb") as old, temporary.open("xb") as new:
            shutil.copyfileobj(old, new, 1 << 20)
            readable_by_all(new.fileno(), path.parent)
            new.flush()
            os.fsync(new.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Put the names in a folder on disk."""
    if os.name == "posix":  # Windows cannot open a folder, and syncs names by itself
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _shared_group(folder: Path) -> int:
    mode = folder.stat().st_mode
    return _GROUP_WRITE if mode & stat.S_ISGID and mode & _GROUP_WRITE else 0
