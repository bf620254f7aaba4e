"""Relative links that are replaced in one step, and what stands in for them where links do not work."""

import contextlib
import errno
import os
from pathlib import Path

from cache_warmer.disk import durable

_NOT_ABOUT_LINKS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO, errno.ENOENT})


def relative_target(link: Path, target: Path) -> str:
    """Return ``target`` as a relative link at ``link`` must name it."""
    return os.path.relpath(target, link.parent)


def points_at(link: Path, target: Path) -> bool:
    """Return whether there is a link with exactly that relative target."""
    try:
        return os.readlink(link) == relative_target(link, target)
    except OSError:
        return False


def place_link(link: Path, target: Path) -> bool:
    """Let ``link`` point at ``target``, replacing the file or link that stands there.

    Returns False if this file system has no links. Raises ``OSError`` for anything else.
    """
    if points_at(link, target):
        return True
    durable.make_folders(link.parent)
    temporary = durable.temporary_name(link)
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
    durable.sync_folder(link.parent)
    return True
