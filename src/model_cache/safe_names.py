"""Validation of file names from untrusted sources.

Names come from catalogs, manifests, hubs and wheels. A name that leaves its folder, or that file systems interpret
differently, is rejected before it is joined to a path. Catalogs, locks and manifests are shared by all systems, so what
they may list is the same everywhere. Names that Windows cannot store are rejected there where a file is written.
"""

import re
import sys
from collections.abc import Iterable
from typing import Final

# Longest part of a path, in bytes: NAME_MAX of Linux file systems.
MAX_PART_BYTES: Final = 255
# Longest relative path, in bytes. Leaves room for a root below PATH_MAX, which is 4096 on Linux.
MAX_PATH_BYTES: Final = 1024

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")


def unsafe_reason(name: str) -> str:
    """Return why a relative POSIX path must not be used, as the end of "a path which …"; empty if it may be used."""
    if not name:
        return "is empty"
    if "\x00" in name:
        return "has a NUL in it"
    if _CONTROL.search(name):
        return "has a control character in it"
    if "\\" in name:
        return "has a backslash in it"
    if name.startswith("/") or _DRIVE.match(name):
        return "is absolute"
    parts = name.split("/")
    if ".." in parts:
        return 'leads out of its folder by ".."'
    if "." in parts or "" in parts:
        return "has an empty part"
    return _length_reason(name, parts)


def unwritable_reason(name: str, platform: str = sys.platform) -> str:
    """Return why no file may be written under a relative POSIX path, as `unsafe_reason` does.

    Args:
        name: the path.
        platform: as `sys.platform`. On Windows a name with a colon is a part of another file, and `aux.json` a device.
    """
    reason = unsafe_reason(name)
    if reason or platform != "win32":
        return reason
    from model_cache.windows_paths import unusable_part  # here: other systems need nothing of it

    return unusable_part(name.split("/"))


def _length_reason(name: str, parts: list[str]) -> str:
    if len(name) <= MAX_PART_BYTES and name.isascii():  # the fast path for almost all names
        return ""
    try:
        longest, total = max(len(part.encode()) for part in parts), len(name.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if longest > MAX_PART_BYTES:
        return f"has a part of {longest} bytes, more than {MAX_PART_BYTES}"
    if total > MAX_PATH_BYTES:
        return f"has {total} bytes, more than {MAX_PATH_BYTES}"
    return ""


def case_collision(paths: Iterable[str]) -> tuple[str, str] | None:
    """Return two different paths that a file system without case takes for one; None if there are none.

    Folders count as well: `A/x` and `a/y` lie in one folder there, whose name has one of the two cases.
    """
    seen: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            name = "/".join(parts[:end])
            former = seen.setdefault(name.casefold(), name)
            if former != name:
                return former, name
    return None
