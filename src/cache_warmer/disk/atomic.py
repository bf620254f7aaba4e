"""Atomic writes into a cache that other users, pods and programs read at the same time.

A file appears under its final name by rename only, after its content is on disk (`model_cache.file_io.replacement`), so
a crash leaves the former content or the new one. The rest of this module is what a shared cache needs beyond that:

* Modes: files are 0644 and folders 0755, with any umask. Below a set-group-id folder that its group may write (a
  volume that a group shares) both stay writable for the group, as its administrator set up.
* Links: relative symbolic links that are replaced in one step; `replace_link` reports a file system without links, and
  the caller copies instead.
* Obstructions: a rename replaces files and links, but not a folder under the name of a file, or a file or a link to
  nothing under that of a folder. These are renamed aside, not deleted, because their owner is unknown. The new name
  ends like that of an abandoned transfer, so that garbage collection finds it. On a host what has the name of a
  folder is another program's, and is refused.
* Boundaries: nothing is written through a link that leaves the cache. `make_folders` enforces this: every
  write of a file or a link creates its folders with it first, and passes the boundary of the cache.

Everything may be called by several threads and processes at once. What may be repeated is, after a temporary failure of
the volume such as a stale handle of NFS (`volume.retry_temporary`). All functions pass `OSError` on unchanged,
`replace_file` also raises `NoPermission`, and those with a boundary raise `VolumeUnsuitable`; the callers add what a
failure means for the volume.
"""

import contextlib
import errno
import logging
import os
import shutil
import stat
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Final

from cache_warmer.disk.volume import is_temporary, retry_temporary
from cache_warmer.errors import NoPermission, VolumeUnsuitable
from model_cache.containment import CacheBoundary
from model_cache.file_io import (
    open_regular_file,
    rename,
    replacement,
    sync_folder,
    take_over_mode,
    temporary_name,
)

_LOG: Final = logging.getLogger(__name__)
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
_GROUP_WRITE: Final = 0o020
# Mode of a new file until `apply_cache_mode` has opened it to others.
_PRIVATE_MODE: Final = 0o600
# Mode of a user's new file, before the umask.
_USER_FILE_MODE: Final = 0o666
_COPY_CHUNK_BYTES: Final = 1 << 20
# Characters of a name that are kept when it is moved aside: the suffixes must fit into 255 bytes.
_MAX_KEPT_NAME: Final = 200
# Failures of `symlink` that do not mean that the file system has no links.
_NOT_ABOUT_LINKS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.ENOENT}
)
# Failures to replace a file that are about permissions or the path, not about the disk. EBUSY: a file that is itself
# a mount, as in a container, cannot be replaced by rename.
_NOT_REPLACEABLE: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
)
# Held while a thread creates a folder on a shared volume: a rename onto the empty folder of another thread would
# remove it while that thread starts to write into it.
_creating_shared_folder = threading.Lock()
# Held while a thread looks for what has the name of a folder, and moves it aside.
_moving_aside = threading.Lock()


def write_file(path: Path, content: bytes, boundary: CacheBoundary) -> None:
    """Write a file by rename, synced, with the modes of the cache; its folders are created.

    The former file stays until then; a folder under that name is moved aside. In a cache of our own, so is a file
    under the name of one of its folders.

    Raises:
        VolumeUnsuitable: the folder leads out of the boundary.
        OSError: a folder or the file cannot be written.
    """
    retry_temporary(partial(_write_file, path, content, boundary))


def copy_file(source: Path, path: Path, boundary: CacheBoundary) -> None:
    """Copy a file by rename, synced, with the modes of the cache: the substitute for a link.

    Raises:
        VolumeUnsuitable: the folder leads out of the boundary.
        OSError: the source cannot be read, or the copy not be written.
    """
    make_folders(path.parent, boundary)
    with (
        open_regular_file(source) as original,
        replacement(
            path, mode=_PRIVATE_MODE, prepare=lambda descriptor: apply_cache_mode(descriptor, path.parent)
        ) as copy,
    ):
        shutil.copyfileobj(original, copy, _COPY_CHUNK_BYTES)


def replace_file(path: Path, content: bytes) -> bool:
    """Replace a user's own file by rename, synced, with the mode and owner of the former one. A link is followed.

    Returns:
        False if it has that content already.

    Raises:
        NoPermission: this user may not replace the file.
        OSError: the disk fails or is full.
    """
    target = Path(os.path.realpath(path))
    try:
        if has_content(target, content):
            return False
        with replacement(
            target,
            mode=_USER_FILE_MODE,
            prepare=lambda descriptor: take_over_mode(target, descriptor),
            sync=False,
        ) as file:
            file.write(content)
            file.flush()
            # the content alone: a user's folder may be on a file system that cannot sync folders
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NOT_REPLACEABLE:
            raise
        raise NoPermission(
            f"{path} cannot be written: {error.strerror}",
            f"let this user write to {target.parent}, or write the pinned catalog elsewhere with --output FILE",
        ) from error
    return True


def has_content(path: Path, content: bytes) -> bool:
    """Return whether a regular file has exactly this content; reads it only if the size is right.

    Raises:
        OSError: the file cannot be read.
    """
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def replace_link(link: Path, target: Path, boundary: CacheBoundary) -> bool:
    """Point the relative link `link` at `target`, replacing the file or link under that name.

    Returns:
        False if this file system has no links.

    Raises:
        VolumeUnsuitable: the folder of the link leads out of the boundary.
        OSError: anything else.
    """
    return retry_temporary(partial(_replace_link, link, target, boundary))


def _write_file(path: Path, content: bytes, boundary: CacheBoundary) -> None:
    remove_obstruction(path, path.parent if boundary.on_host else boundary.root, boundary)
    make_folders(path.parent, boundary)
    with replacement(
        path, mode=_PRIVATE_MODE, prepare=lambda descriptor: apply_cache_mode(descriptor, path.parent)
    ) as file:
        file.write(content)


def _replace_link(link: Path, target: Path, boundary: CacheBoundary) -> bool:
    make_folders(link.parent, boundary)
    if points_at(link, target):
        return True
    temporary = temporary_name(link)
    try:
        os.symlink(relative_target(link, target), temporary)
    except NotImplementedError:
        return False
    except OSError as error:
        if error.errno in _NOT_ABOUT_LINKS or is_temporary(error):
            raise
        return False
    try:
        remove_folder_link(link)
        rename(temporary, link)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(link.parent)
    return True


def remove_folder_link(link: Path, platform: str = sys.platform) -> None:
    """Remove a link to a folder where a rename does not replace it, which is on Windows.

    Raises:
        OSError: it cannot be removed.
    """
    if platform == "win32" and link.is_symlink() and link.is_dir():
        link.unlink()


def points_at(link: Path, target: Path) -> bool:
    """Return whether `link` is a link with exactly this relative target."""
    try:
        return os.readlink(link) == relative_target(link, target)
    except OSError:
        return False


def read_relative_link(link: Path) -> str:
    """Return the target of a relative link; empty for anything else, which is not ours."""
    try:
        target = os.readlink(link)
    except OSError:
        return ""
    return "" if os.path.isabs(target) else target


def relative_target(link: Path, target: Path) -> str:
    """Return `target` as the relative link `link` must name it."""
    return os.path.relpath(target, link.parent)


def require_inside(path: Path, boundary: CacheBoundary) -> None:
    """Raise unless a folder, which need not exist, stays inside a boundary when its links are followed.

    Raises:
        VolumeUnsuitable: it leads out.
    """
    if (outside := boundary.escape_of(path)) is not None:
        raise VolumeUnsuitable(
            f"{path} leads out of the cache, to {outside}",
            "replace the link by a folder, or name the folder that it leads to with --cache (on a host: HF_HUB_CACHE, "
            "SPACY_DATA, TORCH_HOME, QDA_RECORDS)",
        )


def require_usable(path: Path, boundary: CacheBoundary) -> None:
    """Raise unless `make_folders` can create a folder, as far as links and the kinds of files decide that.

    Raises:
        VolumeUnsuitable: the folder leads out of the boundary; or, on a host, something else has its name.
    """
    require_inside(path, boundary)
    if boundary.on_host and (obstacle := _obstacle(path, boundary)) is not None:
        raise obstacle_error(obstacle)


def is_obstacle(path: Path) -> bool:
    """Return whether something that is no folder has this name; what cannot be inspected counts as a folder."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        # not `lexists`: another writer may create the folder just now
        return error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink()


def obstacle_error(path: Path) -> VolumeUnsuitable:
    """Return the error about something that has the name of a folder of the cache."""
    kind = "a link that leads nowhere" if path.is_symlink() else "a file"
    return VolumeUnsuitable(
        f"{path} is {kind}, where a folder for the cache should be",
        "name a folder with --cache, or remove it",
    )


def make_folders(path: Path, boundary: CacheBoundary) -> None:
    """Create a folder and its missing parents, their names on disk.

    In a cache of our own, a file or a link to nothing under the name of one of them is moved aside.

    On a volume that a group shares a folder appears with its final modes, because another user may write into it at
    once, and what is created there inherits them. Elsewhere only its owner writes, who has access with any mode.

    Args:
        path: the folder.
        boundary: what it must not leave, not even through a link that is there.

    Raises:
        VolumeUnsuitable: the folder leads out of the boundary; or, on a host, something else has its name.
        OSError: a folder cannot be created.
    """
    require_usable(path, boundary)
    if _obstacle(path, boundary) is not None:
        # looked up again, because another thread may have created the folder by now
        with _moving_aside:
            if (obstacle := _obstacle(path, boundary)) is not None:
                _move_aside(obstacle)
    _make_missing(path)


def _obstacle(path: Path, boundary: CacheBoundary) -> Path | None:
    """Return what has the name of a folder but is none: the path or a parent of it below the boundary's root."""
    if path.is_dir():
        return None
    folders = (*reversed(path.parents), path)
    below = (one for one in folders if one != boundary.root and one.is_relative_to(boundary.root))
    return next(filter(is_obstacle, below), None)


def _make_missing(path: Path) -> None:
    if path.is_dir():
        return
    _make_missing(path.parent)
    if _shared_group_bits(path.parent):
        with _creating_shared_folder:
            _make_shared_folder(path)
    else:
        _make_own_folder(path)
    sync_folder(path.parent)


def apply_cache_mode(descriptor: int, folder: Path) -> None:
    """Give an open file in `folder` the mode of the cache's files."""
    if hasattr(os, "fchmod"):  # Windows has no modes
        os.fchmod(descriptor, _FILE_MODE | _shared_group_bits(folder))


def remove_obstruction(path: Path, below: Path, boundary: CacheBoundary) -> None:
    """Move aside what prevents a file from being renamed to `path`, or its folders below `below` from being created.

    Raises:
        VolumeUnsuitable: the folder leads out of the boundary.
        OSError: it cannot be renamed.
    """
    require_inside(path.parent, boundary)
    with _moving_aside:
        for folder in reversed(path.parents):
            if folder != below and folder.is_relative_to(below) and is_obstacle(folder):
                _move_aside(folder)
        if path.is_dir() and not path.is_symlink():
            _move_aside(path)


def _move_aside(path: Path) -> None:
    """Rename what prevents a folder or a file, unless another process has done so; the caller holds `_moving_aside`."""
    aside = path.with_name(f"{path.name[:_MAX_KEPT_NAME]}.{os.urandom(6).hex()}.set-aside.incomplete")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        _LOG.warning("%s was in the way: moved to %s", path, aside)


def _make_own_folder(path: Path) -> None:
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file where a folder must be", str(path)) from None
        return
    with contextlib.suppress(PermissionError):  # another writer replaced it: its modes are that writer's
        path.chmod(_FOLDER_MODE | path.stat().st_mode & stat.S_ISGID)


def _make_shared_folder(path: Path) -> None:
    """Create a folder under a temporary name, open it to the group, and rename it; one that exists by then stays."""
    if path.is_dir():
        return
    temporary = temporary_name(path)
    temporary.mkdir()
    try:
        temporary.chmod(_FOLDER_MODE | _GROUP_WRITE | temporary.stat().st_mode & stat.S_ISGID)
        if not path.is_dir():
            # may replace an empty folder that another process created just now, which is equivalent; fails on one
            # that has files
            temporary.rename(path)
            return
    except OSError:
        temporary.rmdir()
        if not path.is_dir():
            raise
        return
    temporary.rmdir()


def _shared_group_bits(folder: Path) -> int:
    """Return the bits to add to a mode in this folder: group write on a volume that a group shares."""
    mode = folder.stat().st_mode
    return _GROUP_WRITE if mode & stat.S_ISGID and mode & _GROUP_WRITE else 0
