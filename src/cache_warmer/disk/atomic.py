"""Writes that survive a crash, with modes that other users of a shared volume can read.

A file appears under its final name by rename only, after its content is on disk. Files are 0644, folders
0755. Below a set-group-id folder that its group may write (a volume shared by a group) both stay writable
for the group, because that is what its administrator set up.

Relative links that are replaced in one step, and what stands in for them where links do not work.

Moves aside what stands where a file of ours must be: a folder under its name, a file where its folder should
be.

Rename replaces files and links, not these. Nothing is deleted: whose they are is not known. The new name ends as one of
an abandoned transfer does, so that cleaning up finds it.

Replaces a user's own file in one step: who reads it sees the old text or the new one, in the old file's mode.
"""

import contextlib
import errno
import logging
import os
import secrets
import shutil
import stat
import tempfile
import threading
from pathlib import Path
from typing import Final

from cache_warmer.errors import NoPermission

_NOT_ABOUT_LINKS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.ENOENT}
)


def relative_target(link: Path, target: Path) -> str:
    """Return `target` as a relative link at `link` must name it."""
    return os.path.relpath(target, link.parent)


def points_at(link: Path, target: Path) -> bool:
    """Return whether there is a link with exactly that relative target."""
    try:
        return os.readlink(link) == relative_target(link, target)
    except OSError:
        return False


def place_link(link: Path, target: Path) -> bool:
    """Let `link` point at `target`, replacing the file or link that stands there.

    Returns False if this file system has no links. Raises `OSError` for anything else.
    """
    if points_at(link, target):
        return True
    make_folders(link.parent)
    temporary = temporary_name(link)
    try:
        os.symlink(relative_target(link, target), temporary)
    except NotImplementedError:
        return False
    except OSError as error:
        if error.errno in _NOT_ABOUT_LINKS:
            raise
        return False
    try:
        os.replace(temporary, link)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(link.parent)
    return True


_LOG: Final = logging.getLogger(__name__)


def remove_obstruction(path: Path, below: Path) -> None:
    """Let a file be renamed to `path`, and its folders below `below` be made. Raises `OSError`."""
    for folder in reversed(path.parents):
        if (
            folder != below
            and folder.is_relative_to(below)
            and os.path.lexists(folder)
            and not folder.is_dir()
        ):
            _set_aside(folder)
    if path.is_dir() and not path.is_symlink():
        _set_aside(path)


def _set_aside(path: Path) -> None:
    aside = path.with_name(f"{path.name[:200]}.{os.getpid()}.set-aside.incomplete")
    _LOG.warning("%s is in the way: moved to %s", path, aside)
    path.rename(aside)


_FILE, _FOLDER = 0o644, 0o755
_GROUP_WRITE: Final = 0o020
# A folder that is renamed onto an empty one takes it from under whoever is about to write there.
_making_shared = threading.Lock()


def make_folders(path: Path) -> None:
    """Create a folder and its missing parents, their names on disk. Raises `OSError`.

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

    Raises `OSError`.
    """
    make_folders(path.parent)
    remove_obstruction(path, path.parent)
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
    """Copy a file by rename, synced: the stand-in for a link. Raises `OSError`."""
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


# EBUSY: a file that is itself a mount, as in a container, cannot be renamed over.
_CANNOT: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
)


def replace_file(path: Path, content: bytes) -> bool:
    """Write a file by rename, synced; a link is followed. Returns False if it has that content already.

    Raises `NoPermission`, or `OSError` (a full disk).
    """
    target = Path(os.path.realpath(path))
    try:
        if target.is_file() and target.read_bytes() == content:
            return False
        _write(target, content)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        raise NoPermission(
            f"{path} cannot be written: {error.strerror}",
            f"let this user write to {target.parent}, or write the pinned catalog elsewhere with --output FILE",
        ) from error
    return True


def _write(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666
        )
        with os.fdopen(descriptor, "wb") as file:
            _take_over(target, file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _take_over(target: Path, descriptor: int) -> None:
    """Give the new file the mode, and if we may the owner, of the one it replaces."""
    with contextlib.suppress(OSError):
        former = target.stat()
        os.fchmod(descriptor, stat.S_IMODE(former.st_mode))
        os.fchown(descriptor, former.st_uid, former.st_gid)
