"""Deletion of a folder with all that is in it, also where NFS keeps files that are still open."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

# NFS keeps a deleted file that is still open under such a name, and removes it when it is closed.
NFS_PREFIX: Final = ".nfs"


def remove_tree(folder: Path, unlink: Callable[[str], None] = os.unlink) -> None:
    """Delete a folder with all that is in it, except what NFS keeps for a process that has it open.

    NFS renames an open file to `.nfs…` when it is deleted, refuses to delete that (EBUSY), and removes it when it is
    closed. The folder of such a file stays for the next call.
    """
    for parent, folders, names in os.walk(folder, topdown=False):
        for name in names:
            try:
                unlink(os.path.join(parent, name))
            except OSError as error:
                if error.errno != errno.EBUSY or not name.startswith(NFS_PREFIX):
                    raise
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                os.unlink(os.path.join(parent, name))
        try:
            os.rmdir(parent)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not _is_held_by_nfs(parent):
                raise


def _is_held_by_nfs(folder: str) -> bool:
    return any(name.startswith(NFS_PREFIX) for _, _, names in os.walk(folder) for name in names)
