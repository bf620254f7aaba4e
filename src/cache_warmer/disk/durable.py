"""Writes that survive a crash, with modes that other users of a shared volume can read.

A file appears under its final name by rename only, after its content is on disk. Files are 0644, folders
0755. Below a set-group-id folder that its group may write (a volume shared by a group) both stay writable
for the group, because that is what its administrator set up.
"""

import contextlib
import os
import shutil
import stat
import tempfile
import threading
import time
from pathlib import Path

_FILE, _FOLDER = 0o644, 0o755
_GROUP_WRITE = 0o020


# Nobody may look at a folder of ours between its making and its modes: what is made below it takes them over.
_making = threading.Lock()


def make_folders(path: Path) -> None:
    """Create a folder and its missing parents. Raises ``OSError``."""
    with _making:
        _make_folders(path)


def _make_folders(path: Path) -> None:
    if path.is_dir():
        return
    _make_folders(path.parent)
    _await_modes(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
        _await_modes(path)
        return
    own = path.stat().st_mode & stat.S_ISGID
    with contextlib.suppress(PermissionError):  # another writer made it first: its modes are its own
        path.chmod(_FOLDER | own | _shared_group(path.parent))


def _await_modes(path: Path) -> None:
    """Wait a moment for another program that has just made this folder and is about to open it to the group."""
    for _ in range(20):
        if os.access(path, os.W_OK):
            return
        time.sleep(0.005)


def readable_by_all(descriptor: int, folder: Path) -> None:
    """Give an open file the modes of the cache."""
    if hasattr(os, "fchmod"):  # Windows has no modes to give
        os.fchmod(descriptor, _FILE | _shared_group(folder))


def write_file(path: Path, content: bytes) -> None:
    """Write a file by rename, synced. Raises ``OSError``; what stood under that name stays until then."""
    make_folders(path.parent)
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
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.tmp")
    try:
        with source.open("rb") as old, temporary.open("wb") as new:
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
