"""Files that are read at start and again whenever they change: certificates and tokens.

A change is noticed by inode, mtime and size, which also covers the way Kubernetes updates a mounted Secret (a symbolic
link is swapped). A new content that cannot be used changes nothing: the last usable value stays in use, and the next
check tries again, because several files may be written one after the other.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from model_cache.errors import UsageError

_Value = TypeVar("_Value")

# Inode, mtime in nanoseconds and size of each file.
_FileStamps = tuple[tuple[int, int, int], ...]


class FileReload(Generic[_Value]):
    """The value that some files hold. Every method may be called from any thread."""

    def __init__(
        self, paths: Sequence[Path], read: Callable[[], _Value], on_error: Callable[[UsageError], None]
    ) -> None:
        """Read the files for the first time.

        Args:
            paths: the files.
            read: returns their value; raises UsageError if they cannot be used.
            on_error: receives what is wrong with changed files, at each check until it is corrected.

        Raises:
            UsageError: the files cannot be used.
        """
        self._paths = tuple(paths)
        self._read = read
        self._on_error = on_error
        self._lock = threading.Lock()
        self._stamps = _file_stamps(self._paths)
        self._current = read()

    @property
    def current(self) -> _Value:
        """The value in use."""
        return self._current

    def reload_if_changed(self) -> _Value | None:
        """Return the new value if the files hold one; None if nothing changed or the files cannot be used."""
        with self._lock:
            stamps = _file_stamps(self._paths)
            if stamps == self._stamps:
                return None
            try:
                value = self._read()
            except UsageError as error:
                self._on_error(error)
                return None
            self._stamps = stamps
            if value == self._current:
                return None
            self._current = value
            return value


def _file_stamps(paths: Sequence[Path]) -> _FileStamps:
    stamps = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            stamps.append((0, 0, 0))  # reading the file reports the error
        else:
            stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(stamps)
