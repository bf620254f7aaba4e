"""Looks at listed files: is each there, inside its place, readable, and of the right size?

The whole catalog is looked at by a readiness probe every few seconds, so each folder is resolved once and
each file costs three system calls.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from model_cache.check.types import Problem
from model_cache.manifest import FileRecord
from model_cache.places import Places
from model_cache.reasons import Reason

_MAX_LINKS: Final = 40  # as Linux's own limit


class Remedies(NamedTuple):
    """The commands to name, with the catalog and cache that the user gave."""

    warm: str = "cache-warmer warm"
    repair: str = "cache-warmer repair"

    def fetch(self) -> str:
        """Return what to do about something that is not there."""
        return f"run `{self.warm}`"

    def mend(self) -> str:
        """Return what to do about something that is there and wrong."""
        return f"run `{self.repair}`"

    def permit(self, path: str) -> str:
        """Return what to do about something that cannot be read."""
        from pathlib import Path  # here, with what follows: this is said of few caches

        from model_cache.check.permissions import advice, blocking_path, this_user

        return f"let this user (uid {_uid()}) read it: {advice(blocking_path(Path(path)), this_user(), write=False)}"


class Found(NamedTuple):
    """A listed file that is right so far: its path, and the one without links, by which it is read."""

    record: FileRecord
    path: str
    real_path: str


class _Wrong(Exception):
    def __init__(self, reason: Reason, detail: str, path: str) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.path = reason, detail, path


def _may_read(path: str) -> bool:
    return os.access(path, os.R_OK)


def inspect(
    records: Sequence[FileRecord],
    places: Places,
    remedies: Remedies,
    may_read: Callable[[str], bool] = _may_read,
) -> tuple[list[Found], list[Problem]]:
    """Return the files that are right and the problems of those that are not. Writes nothing."""
    found: list[Found] = []
    problems: list[Problem] = []
    folders = {name: _Folders(str(places.of(name).path)) for name in {record.place for record in records}}
    for record in records:
        place = folders[record.place]
        path = f"{place.root}/{record.path}"
        try:
            found.append(Found(record, path, _look_at_one(path, record, place, may_read)))
        except _Wrong as wrong:
            problems.append(_problem(path, wrong, remedies))
        except (OSError, ValueError) as error:
            problems.append(problem_of(path, error, remedies))
    return found, problems


def problem_of(path: str, error: OSError | ValueError, remedies: Remedies) -> Problem:
    """Return the problem that a failed system call on a listed file stands for."""
    if isinstance(error, ValueError):  # a NUL in the name
        return _problem(path, _Wrong(Reason.CACHE_CORRUPT, str(error), path), remedies)
    where = os.fspath(error.filename) if isinstance(error.filename, str) else path
    if error.errno == errno.ENOENT:
        detail = "is missing" if where == path else f"is missing ({where} is not there)"
        return _problem(path, _Wrong(Reason.CACHE_INCOMPLETE, detail, path), remedies)
    if error.errno == errno.ELOOP:
        detail = "is a link that leads in a circle"
        return _problem(path, _Wrong(Reason.CACHE_CORRUPT, detail, path), remedies)
    if error.errno in (errno.ENOTDIR, errno.ENAMETOOLONG):
        detail = f"cannot be reached: {error.strerror}"
        return _problem(path, _Wrong(Reason.CACHE_CORRUPT, detail, os.path.dirname(path)), remedies)
    detail = f"cannot be read: {error.strerror}"
    return _problem(path, _Wrong(Reason.NO_PERMISSION, detail, where), remedies)


def _problem(path: str, wrong: _Wrong, remedies: Remedies) -> Problem:
    remedy = {
        Reason.CACHE_INCOMPLETE: remedies.fetch(),
        Reason.NO_PERMISSION: remedies.permit(wrong.path),
    }.get(wrong.reason, remedies.mend())
    return Problem(path, wrong.reason, wrong.detail, remedy)


def _look_at_one(path: str, record: FileRecord, folders: "_Folders", may_read: Callable[[str], bool]) -> str:
    real = folders.resolve(path)
    if not folders.holds(real):
        raise _Wrong(Reason.CACHE_CORRUPT, f"leads out of the cache, to {real}", path)
    try:
        status = os.lstat(real)
    except FileNotFoundError as error:
        if real == path or not os.path.islink(path):
            raise
        detail = f"is a link whose target is missing ({real})"
        raise _Wrong(Reason.CACHE_INCOMPLETE, detail, path) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise _Wrong(Reason.CACHE_CORRUPT, f"is {kind} where a file should be", real)
    if status.st_size != record.bytes:
        detail = f"has {status.st_size} bytes where {record.bytes} should be"
        raise _Wrong(Reason.CACHE_CORRUPT, detail, real)
    if not may_read(real):
        raise _Wrong(Reason.NO_PERMISSION, "cannot be read: Permission denied", real)
    return real


class _Folders:
    """Resolves paths below one root; each folder is asked for once."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._prefix = os.path.join(os.path.realpath(root), "")
        self._real: dict[str, str] = {}

    def resolve(self, path: str) -> str:
        """Return the path without links; the last part need not exist. Raises `OSError`."""
        for _ in range(_MAX_LINKS):
            folder, name = os.path.split(path)
            real = os.path.join(self._folder(folder), name)
            try:
                target = os.readlink(real)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOENT):  # no link, or nothing there
                    return real
                raise
            path = os.path.join(os.path.dirname(real), target)
            if os.path.basename(path) in ("", ".", ".."):
                return os.path.realpath(path)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    def holds(self, real: str) -> bool:
        """Return whether a resolved path lies below the root."""
        return real.startswith(self._prefix)

    def _folder(self, folder: str) -> str:
        real = self._real.get(folder)
        if real is None:
            real = self._real[folder] = os.path.realpath(folder, strict=True)
        return real


def _uid() -> str:
    return str(os.geteuid()) if hasattr(os, "geteuid") else "of this session"
