"""Remedies for missing permissions: one path, one command, nothing recursive.

Caches of a host are shared: old containers leave files of root, groups share folders, and colleagues own files that we
read. A remedy that changes owners recursively below a home folder would break more than it repairs. So each remedy
names the one path that blocks access, and the person who can change it.
"""

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A user of the operating system.

    Attributes:
        uid: user id.
        gid: id of the main group.
        groups: ids of all groups, with the main one.
    """

    uid: int
    gid: int
    groups: frozenset[int]


def current_user() -> Identity | None:
    """Return the user that runs this process; None where the system has no such ids (Windows)."""
    if not hasattr(os, "geteuid"):
        return None
    return Identity(os.geteuid(), os.getegid(), frozenset({os.getegid(), *os.getgroups()}))


def blocking_path(path: Path) -> Path:
    """Return the first folder on the way to a path that this user cannot enter, or the path itself."""
    for folder in reversed(path.absolute().parents):
        if folder.is_dir() and not os.access(folder, os.X_OK):
            return folder
    return path


def permission_remedy(path: Path, user: Identity | None, *, write: bool) -> str:
    """Return the smallest change that gives a user access to one path. Never raises.

    Args:
        path: an existing file or folder.
        user: who needs access; None if not known.
        write: whether the user must write it; else read.
    """
    try:
        status = path.stat()
    except OSError:
        return f"let this user reach {path}"
    if user is None or user.uid == 0:
        return f"see why {path} cannot be used: its permissions, or the mount or disk below it"
    quoted, mode = shlex.quote(str(path)), _needed_mode(status.st_mode, write=write)
    if status.st_uid == user.uid:
        return f"run `chmod u+{mode} {quoted}`"
    owner = _user_name(status.st_uid)
    if status.st_gid in user.groups:
        run = "run `sudo " if status.st_uid == 0 else f"ask its owner {owner} to run `"
        return f"{run}chmod g+{mode} {quoted}` (you are in its group {status.st_gid})"
    if status.st_uid == 0 and _has_parent_of(user.uid, path):
        return (
            f"root created it, perhaps in a container: run `sudo chown {user.uid}:{user.gid} {quoted}`, "
            "for this path only"
        )
    return (
        f"ask its owner {owner} to share it with a group of yours (`chgrp GROUP {quoted}` and "
        f"`chmod g+{mode} {quoted}`), or keep a cache of your own (HF_HUB_CACHE, SPACY_DATA, TORCH_HOME, QDA_RECORDS)"
    )


def owner_and_mode(path: Path) -> str:
    """Return owner, group and mode of a path: `0:0 with mode 0755`."""
    status = path.stat()
    return f"{status.st_uid}:{status.st_gid} with mode {status.st_mode & 0o7777:04o}"


def _has_parent_of(uid: int, path: Path) -> bool:
    """Return whether a path lies inside a folder of this user: only there may it be given to them."""
    return any(parent.stat().st_uid == uid for parent in path.absolute().parents)


def _needed_mode(mode: int, *, write: bool) -> str:
    """Return the permissions to add, as `chmod` takes them: `r`, `rw`, `rx` or `rwx`."""
    reading = "rx" if stat.S_ISDIR(mode) else "r"
    return reading.replace("r", "rw") if write else reading


def _user_name(uid: int) -> str:
    try:
        import pwd  # here: Windows has no such module

        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except (ImportError, KeyError):  # Windows; a user of a container that this system does not know
        return f"uid {uid}"
