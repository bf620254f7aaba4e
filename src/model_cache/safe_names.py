"""Decides whether a file name from outside may be used below a folder of ours.

Names come from catalogs, manifests, hubs and wheels. One that leaves its folder, or that a file system
reads otherwise than we do, is refused before it is joined to anything.
"""

import re
from typing import Final

# Longest part of a path: NAME_MAX of Linux file systems.
MAX_PART_BYTES: Final = 255
# Longest relative path; leaves room for a root below PATH_MAX (4096 on Linux, 1024 on macOS).
MAX_PATH_BYTES: Final = 1024

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE: Final = re.compile(r"[A-Za-z]:")


def why_unsafe(name: str) -> str:
    """Return why a relative POSIX path must not be used, to follow "which …"; empty if it may be."""
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
    return _why_too_long(name, parts)


def _why_too_long(name: str, parts: list[str]) -> str:
    if len(name) <= MAX_PART_BYTES and name.isascii():  # nearly all names
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
