"""Containment: whether a path stays inside a cache when its links are followed.

A volume is shared, so other users may replace a folder of a cache by a link. Reading through one that leads out could
expose a file of the system as a file of a model; writing through one would change files of other programs.

On a host there is one exception, because the libraries follow links: a folder directly in a global cache may be a link
to another disk (`models--ORG--NAME -> /data/…`), if link and target belong to the same user, and that is the user of
this process or the owner of the cache. What lies below it must stay inside the target.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

# How often a path is resolved while other writers replace its links.
_TRIES: Final = 10


class CacheBoundary(NamedTuple):
    """The folder that paths of a cache must not leave.

    Attributes:
        root: the folder; it may be a link itself.
        on_host: whether it is a global cache, whose folders may be links of the same user to another disk.
    """

    root: Path
    on_host: bool = False

    def escape_of(self, path: Path) -> Path | None:
        """Return where a path leads if that is outside; None if it stays inside. The path need not exist."""
        real = _real_path(path)
        if is_below(real, _real_path(self.root)):
            return None
        if self.on_host and (target := linked_folder(str(self.root), str(path))) and is_below(real, target):
            return None
        return Path(real)


def linked_folder(root: str, path: str) -> str:
    """Return the real path of the folder of `root` that holds `path`, if it is a link of the same user; else empty."""
    parts = Path(os.path.relpath(path, root)).parts
    link = os.path.join(root, parts[0]) if parts else root
    if parts[:1] in ((), ("..",)) or not os.path.islink(link):
        return ""
    try:
        owner, target = os.lstat(link).st_uid, os.stat(link)
        trusted = {os.stat(root).st_uid, os.geteuid() if hasattr(os, "geteuid") else owner}
    except OSError:
        return ""
    is_same_user = owner == target.st_uid and owner in trusted
    return os.path.realpath(link) if is_same_user and os.path.isdir(link) else ""


def _real_path(path: Path) -> str:
    """Return `os.path.realpath`, which fails if a link is replaced between the look at it and the reading of it."""
    for _ in range(_TRIES):
        try:
            return os.path.realpath(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise
    return os.path.realpath(path)


def is_below(real: str, root: str, platform: str = sys.platform) -> bool:
    """Return whether a path without links is a folder, which has none either, or lies below it."""
    if platform == "win32":
        from model_cache import windows_paths

        return windows_paths.is_below(real, root)
    return real == root or real.startswith(os.path.join(root, ""))
