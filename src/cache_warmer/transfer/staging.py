"""Names of staging files, what an earlier run left of a body, and where wrong content is kept.

A staging file lies beside its final name, because a rename does not cross mounts, and ends in `.incomplete`. It has one
of two names:

* `<name>.incomplete`, the resting name: a run that ended put it there after it had closed the file. Nobody writes
  to it.
* `<name>.<12 random hex digits>.incomplete`, the private name of the run that writes to it, or of a killed one.

`transfer.claim` says how a run gets a file of its own from either.

Quarantine: content that was wrong twice is kept as `<name>.wrong-<its sha256>.incomplete`, so that a person can look
at what the source sent. The name is the expected hash (of a wheel, its file name and the beginning of that hash). No
library reads that name, no later run resumes it, and garbage collection removes it like every staging file. At most
one is kept per file, and only while the volume has space to fetch the right content beside it.
"""

import contextlib
import errno
import glob
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.disk.volume import MeasureFreeSpace, measure_free_space, with_margin
from cache_warmer.transfer.journal import STAGING_SUFFIX, Extents, boot_id, journal_path, read_journal
from model_cache.places import HOST, Places

# The random part of a private name: bytes, and how it looks in a name.
_RANDOM_BYTES: Final = 6
_PRIVATE_PART: Final = re.compile(r"\.[0-9a-f]{12}")
# Between the two hashes in the name of a quarantined file.
_QUARANTINE_MARK: Final = ".wrong-"
# Characters of the name that are kept in that of a quarantined file: both hashes must fit into 255 bytes.
_MAX_QUARANTINED_STEM: Final = 150


@dataclass(frozen=True, slots=True)
class ClaimedFile:
    """A staging file that only this process writes to.

    Attributes:
        descriptor: open for reading and writing.
        path: its private name.
        resting: its name between runs.
    """

    descriptor: int
    path: Path
    resting: Path

    def is_ours(self) -> bool:
        """Return whether the private name still names this file: no other run took it."""
        return is_same_file(self.descriptor, self.path)

    def close(self) -> None:
        """Close the file and leave its name."""
        os.close(self.descriptor)

    def rest(self) -> None:
        """Give a closed file its resting name, for the next run. Never raises: that run also finds the private name."""
        with contextlib.suppress(OSError):
            if not os.path.lexists(self.resting):  # else that of another run, which ended meanwhile
                journal_path(self.resting).unlink(missing_ok=True)
                rename_staging_file(self.path, self.resting)


def staging_name(name: str, places: Places) -> str:
    """Return the staging name of a body whose final name is `name`.

    On a host other projects and other users download into the same folder, so the name contains our user id: it
    collides neither with another user's nor with those of the hub client.
    """
    if places.label != HOST:
        return f"{name}{STAGING_SUFFIX}"
    return f"{name}.qda-{os.getuid() if hasattr(os, 'getuid') else 'user'}{STAGING_SUFFIX}"


def final_name(staging: str) -> str:
    """Return the final name of a staging name; final names contain no dot."""
    return staging.partition(".")[0]


def private_name(resting: Path) -> Path:
    """Return a new private name for the staging file (or folder) with this resting name."""
    stem = resting.name.removesuffix(STAGING_SUFFIX)
    return resting.with_name(f"{stem}.{os.urandom(_RANDOM_BYTES).hex()}{STAGING_SUFFIX}")


def private_files(resting: Path, suffix: str = STAGING_SUFFIX) -> list[Path]:
    """Return what lies under private names of a staging file (or, by suffix, their journals).

    Raises:
        OSError: the folder cannot be listed.
    """
    stem = resting.name.removesuffix(STAGING_SUFFIX)
    try:
        names = os.listdir(resting.parent)
    except OSError as error:
        if error.errno not in (
            errno.ENOENT,
            errno.ENOTDIR,
            errno.ELOOP,
        ):  # no folder: the first write makes it one
            raise
        return []
    return [
        resting.with_name(name)
        for name in sorted(names)
        if name.startswith(f"{stem}.")
        and name.endswith(suffix)
        and _PRIVATE_PART.fullmatch(name.removesuffix(suffix), len(stem))
    ]


def is_same_file(descriptor: int, path: Path) -> bool:
    """Return whether `path` still names the open file, and not that of another writer."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def rename_staging_file(former: Path, new: Path) -> None:
    """Rename a staging file with its journal, and touch both: they are in use.

    Where the volume has hard links the journal has both names meanwhile, so that a process that is killed, or looks, at
    any instant finds the file with its journal: without it the holes of the file would count as content.

    Raises:
        OSError: the file is not there, or may not be renamed. The journal keeps its name.
    """
    journal, new_journal = journal_path(former), journal_path(new)
    if not os.path.lexists(former):  # its journal stays as old as it is
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(former))
    for path in (former, journal):
        with contextlib.suppress(OSError):
            os.utime(path, follow_symlinks=os.utime not in os.supports_follow_symlinks)
    with contextlib.suppress(OSError, NotImplementedError):
        os.link(journal, new_journal, follow_symlinks=False)
    try:
        os.rename(former, new)
    except OSError:
        new_journal.unlink(missing_ok=True)
        raise
    with contextlib.suppress(FileNotFoundError):
        os.replace(journal, new_journal)
        journal.unlink()  # two names of one file, for which a rename does nothing


def staged_extents(path: Path, size: int | None) -> Extents:
    """Return the ranges of a body that an earlier run left: those in the journal, or the whole file without one.

    Args:
        path: the staging file.
        size: bytes that the body will have; None if not known.
    """
    try:
        state = path.lstat()
    except OSError:
        return Extents()
    if not stat.S_ISREG(state.st_mode):
        return Extents()
    file_size = state.st_size
    recorded = read_journal(path, size, boot_id()) if size is not None else None
    extents = Extents(recorded if recorded is not None else [(0, file_size)])
    # a journal of another file, or a file longer than the body: neither is the beginning of this body
    return extents if extents.end <= min(file_size, size if size is not None else file_size) else Extents()


def quarantine(
    descriptor: int,
    staging: Path,
    sha256: str,
    free_space: MeasureFreeSpace = measure_free_space,
    resting: Path | None = None,
) -> Path | None:
    """Rename an open staging file whose content is wrong; return its new path, or None if it is not kept.

    The new name begins with that of `resting` (default: of `staging`).

    It is not kept if it is empty, was replaced by another writer, leaves no space for the right content, or cannot
    be renamed. Never raises: keeping it is a convenience, and the run reports the mismatch itself.
    """
    name = (resting or staging).name.removesuffix(STAGING_SUFFIX)[:_MAX_QUARANTINED_STEM]
    with contextlib.suppress(OSError):
        for older in staging.parent.glob(f"{glob.escape(name)}{_QUARANTINE_MARK}*{STAGING_SUFFIX}"):
            older.unlink()
        size = os.fstat(descriptor).st_size
        has_space = free_space(staging.parent).bytes >= with_margin(size)
        if size and has_space and is_same_file(descriptor, staging):
            kept = staging.with_name(f"{name}{_QUARANTINE_MARK}{sha256}{STAGING_SUFFIX}")
            os.replace(staging, kept)
            return kept
    return None


def is_quarantined(path: Path) -> bool:
    """Return whether a file is a quarantined one, by its name."""
    return _QUARANTINE_MARK in path.name and path.name.endswith(STAGING_SUFFIX)
