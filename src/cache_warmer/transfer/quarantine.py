"""Keeps what a source sent instead of what was promised, for whoever asks what it was.

It lies beside the staging file, because rename does not cross mounts, as ``<name>.wrong-<its sha256>.incomplete``; the
name is the promised hash (of a wheel, its file name and the beginning of that hash). No name of a library stands for
it, no later run goes on from it, and it ends like every staging file, so ``collect`` removes it. One at most is kept of
a file, and only while the volume has room to fetch the right one beside it.
"""

import contextlib
import glob
import os
from pathlib import Path

from cache_warmer.disk.volume import FreeOf, free_of, with_margin
from cache_warmer.transfer.staging import is_still_there

MARK = ".wrong-"
"""Stands between the two hashes in the name."""
_SUFFIX = ".incomplete"


def is_quarantined(path: Path) -> bool:
    """Return whether a file is one that was kept so, by its name."""
    return MARK in path.name and path.name.endswith(_SUFFIX)


def quarantine(descriptor: int, staging: Path, sha256: str, free_here: FreeOf = free_of) -> Path | None:
    """Rename an open staging file whose content is wrong, and return its new name; None: it is not kept.

    Not kept is one that is empty, that another writer replaced, that there is no room for, or that cannot be renamed:
    it is a service, and the run has failed for a better reason.
    """
    name = staging.name.removesuffix(_SUFFIX)[:150]
    with contextlib.suppress(OSError):
        for older in staging.parent.glob(f"{glob.escape(name)}{MARK}*{_SUFFIX}"):
            older.unlink()
        size = os.fstat(descriptor).st_size
        room = free_here(staging.parent).bytes >= with_margin(size)
        if size and room and is_still_there(descriptor, staging):
            kept = staging.with_name(f"{name}{MARK}{sha256}{_SUFFIX}")
            os.replace(staging, kept)
            return kept
    return None
