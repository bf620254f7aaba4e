"""Check the files that records list: each must exist inside its place, be readable, and have the right size.

A worker's watch repeats this for the whole catalog every few seconds. Folders are therefore resolved once per check,
and each file costs three system calls.

A link may lead anywhere inside its place, because the hub's layout consists of links to blobs. One that leads out of it
is corrupt: it could expose a file of the system as a file of a model. On a host a folder of a place may be a link
of the same user to another disk (`model_cache.containment`).
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from model_cache.check.types import Problem
from model_cache.containment import is_below, linked_folder
from model_cache.layout import path_below
from model_cache.manifest import FileRecord
from model_cache.places import HOST, Places
from model_cache.reasons import Reason

if TYPE_CHECKING:  # a complete cache does not need it
    from model_cache.warm_status import WarmAdvice

_MAX_LINKS: Final = 40  # the limit of Linux


class Remedies(NamedTuple):
    """The commands that remedies name, with the catalog and cache that the user gave.

    Attributes:
        warm, repair: fill the cache; replace what is damaged.
        import_archive: fills the cache without a hub; empty: not named.
        advice: returns what the last warm means for missing files; called for each of them.
    """

    warm: str = "cache-warmer warm"
    repair: str = "cache-warmer repair"
    import_archive: str = ""
    advice: "Callable[[], WarmAdvice | None]" = lambda: None

    def for_missing(self) -> str:
        """Return the remedy for something that does not exist."""
        run = f"run `{self.warm}`"
        if self.import_archive:
            run += f", or without a hub `{self.import_archive}`"
        advice = self.advice()
        if advice is None:
            return run
        return f"{advice.sentence}{advice.link}{run if advice.link else ''}"

    def for_corrupt(self) -> str:
        """Return the remedy for something that exists and is wrong."""
        return f"run `{self.repair}`"

    def for_unreadable(self, path: str) -> str:
        """Return the remedy for something that cannot be read."""
        from pathlib import Path  # here, with the next: few checks need them

        from model_cache.check.permissions import blocking_path, current_user, permission_remedy

        remedy = permission_remedy(blocking_path(Path(path)), current_user(), write=False)
        return f"let this user (uid {_uid()}) read it: {remedy}"


class CheckedFile(NamedTuple):
    """A listed file that passed the fast check.

    Attributes:
        record: its entry in the manifest.
        path: its path in the place.
        real_path: the path of its content, without links.
    """

    record: FileRecord
    path: str
    real_path: str


def _may_read(path: str) -> bool:
    return os.access(path, os.R_OK)


def inspect(
    records: Sequence[FileRecord],
    places: Places,
    remedies: Remedies,
    may_read: Callable[[str], bool] = _may_read,
) -> tuple[list[CheckedFile], list[Problem]]:
    """Check listed files. Writes nothing.

    Args:
        records: the records of the files.
        places: the places of the cache.
        remedies: the commands that remedies name.
        may_read: returns whether this user may read a path.

    Returns:
        The files that pass, and the problems of the others.
    """
    checked: list[CheckedFile] = []
    problems: list[Problem] = []
    resolvers = {
        name: _PathResolver(str(places.of(name).path), follows_own_links=places.label == HOST)
        for name in {record.place for record in records}
    }
    for record in records:
        resolver = resolvers[record.place]
        path = path_below(resolver.root, record.path)
        try:
            checked.append(CheckedFile(record, path, _check_file(path, record, resolver, may_read)))
        except _FileError as error:
            problems.append(_problem(path, error, remedies))
        except (OSError, ValueError) as error:
            problems.append(problem_from_error(path, error, remedies))
    return checked, problems


def problem_from_error(path: str, error: OSError | ValueError, remedies: Remedies) -> Problem:
    """Return the problem that a failed system call on a listed file means.

    Args:
        path: the path of the listed file.
        error: the error of the call; a ValueError is a NUL in the name.
        remedies: the commands that remedies name.
    """
    if isinstance(error, ValueError):
        return _problem(path, _FileError(Reason.CACHE_CORRUPT, str(error), path), remedies)
    where = os.fspath(error.filename) if isinstance(error.filename, str) else path
    if error.errno == errno.ENOENT:
        detail = "is missing" if where == path else f"is missing ({where} does not exist)"
        return _problem(path, _FileError(Reason.CACHE_INCOMPLETE, detail, path), remedies)
    if error.errno == errno.ELOOP:
        detail = "is a link that leads in a circle"
        return _problem(path, _FileError(Reason.CACHE_CORRUPT, detail, path), remedies)
    if error.errno in (errno.ENOTDIR, errno.ENAMETOOLONG):
        detail = f"cannot be reached: {error.strerror}"
        return _problem(path, _FileError(Reason.CACHE_CORRUPT, detail, os.path.dirname(path)), remedies)
    detail = f"cannot be read: {error.strerror}"
    return _problem(path, _FileError(Reason.NO_PERMISSION, detail, where), remedies)


class _FileError(Exception):
    """A listed file does not pass. `path` is the one to which the remedy applies."""

    def __init__(self, reason: Reason, detail: str, path: str) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.path = reason, detail, path


def _problem(path: str, error: _FileError, remedies: Remedies) -> Problem:
    if error.reason is Reason.CACHE_INCOMPLETE:
        remedy = remedies.for_missing()
    elif error.reason is Reason.NO_PERMISSION:
        remedy = remedies.for_unreadable(error.path)
    else:
        remedy = remedies.for_corrupt()
    return Problem(path, error.reason, error.detail, remedy)


def _check_file(
    path: str, record: FileRecord, resolver: "_PathResolver", may_read: Callable[[str], bool]
) -> str:
    """Return the real path of a listed file; raise `_FileError` or `OSError` if it does not pass."""
    real = resolver.resolve(path)
    if not resolver.contains(real) and not resolver.is_below_own_link(path, real):
        raise _FileError(Reason.CACHE_CORRUPT, f"leads out of the cache, to {real}", path)
    try:
        status = os.lstat(real)
    except FileNotFoundError as error:
        if real == path or not os.path.islink(path):
            raise
        detail = f"is a link whose target is missing ({real})"
        raise _FileError(Reason.CACHE_INCOMPLETE, detail, path) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise _FileError(Reason.CACHE_CORRUPT, f"is {kind} where a file should be", real)
    if status.st_size != record.bytes:
        detail = f"has {status.st_size} bytes where {record.bytes} should be"
        raise _FileError(Reason.CACHE_CORRUPT, detail, real)
    if not may_read(real):
        raise _FileError(Reason.NO_PERMISSION, "cannot be read: Permission denied", real)
    return real


class _PathResolver:
    """Resolves the links of paths below one root, and remembers the folders that it has resolved."""

    def __init__(self, root: str, *, follows_own_links: bool) -> None:
        self.root, self._follows_own_links = root, follows_own_links
        self._real_root = os.path.realpath(root)
        self._real_folders: dict[str, str] = {}

    def resolve(self, path: str) -> str:
        """Return the path without links; its last part need not exist. Raises `OSError`."""
        for _ in range(_MAX_LINKS):
            folder, name = os.path.split(path)
            real = os.path.join(self._real_folder(folder), name)
            try:
                target = os.readlink(real)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOENT):  # not a link, or missing
                    return real
                raise
            path = os.path.join(os.path.dirname(real), target)
            if os.path.basename(path) in ("", ".", ".."):
                return os.path.realpath(path)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    def contains(self, real: str) -> bool:
        """Return whether a resolved path lies below the root."""
        return is_below(real, self._real_root)

    def is_below_own_link(self, path: str, real: str) -> bool:
        """Return whether a resolved path lies in the folder to which the same user linked the one of `path`."""
        linked = linked_folder(self.root, path) if self._follows_own_links else ""
        return bool(linked) and is_below(real, linked)

    def _real_folder(self, folder: str) -> str:
        real = self._real_folders.get(folder)
        if real is None:
            real = self._real_folders[folder] = os.path.realpath(folder, strict=True)
        return real


def _uid() -> str:
    return str(os.geteuid()) if hasattr(os, "geteuid") else "of this session"
