"""Read and write at a position of an open file, from several threads at once.

POSIX has calls for it (`pread`, `pwrite`) that leave the file's own position alone. Windows has none: there the
position is moved and the file read or written under one lock for the whole process, so that threads with the same
descriptor cannot come between the two steps. A module of its own because locks of files, journals and staging files
need it.
"""

import os
import threading
from typing import Final

_HAS_PREAD, _HAS_PWRITE = hasattr(os, "pread"), hasattr(os, "pwrite")
# Held between moving the position of a file and using it, where the system has no calls that do both.
_position_lock: Final = threading.Lock()


def write_at(descriptor: int, content: bytes | memoryview, position: int) -> None:
    """Write all bytes at a position.

    Raises:
        OSError: the disk fails or is full.
    """
    rest = memoryview(content)
    while rest:  # a write may be short, for example on a nearly full disk
        written = _write_some(descriptor, rest, position)
        rest, position = rest[written:], position + written


def read_at(descriptor: int, count: int, position: int) -> bytes:
    """Return at most `count` bytes from a position; none at the end of the file.

    Raises:
        OSError: the file cannot be read.
    """
    if _HAS_PREAD:
        return os.pread(descriptor, count, position)
    with _position_lock:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.read(descriptor, count)


def _write_some(descriptor: int, content: memoryview, position: int) -> int:
    if _HAS_PWRITE:
        return os.pwrite(descriptor, content, position)
    with _position_lock:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.write(descriptor, content)
