"""The least that lets this user into a file or folder: one path, one command, nothing recursive.

Caches of a host are shared: old containers leave files of root, groups share folders, colleagues own what we read.
A remedy that changes owners below somebody's home breaks more than it mends, so each names the one path that is in
the way and who can open it.
"""

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: user, main group, and all groups."""

    uid: int
    gid: int
    groups: frozenset[int]


def this_user() -> Identity | None:
    """Return who runs this program; None where the system has no such numbers (Windows)."""
    if not hasattr(os, "geteuid"):
        return None
    return Identity(os.geteuid(), os.getegid(), frozenset({os.getegid(), *os.getgroups()}))


def blocking_path(path: Path) -> Path:
    """Return the folder on the way to a path that this user cannot pass, or the path itself."""
    for folder in reversed(path.absolute().parents):
        if folder.is_dir() and not os.access(folder, os.X_OK):
            return folder
    return path


def advice(path: Path, me: Identity | None, *, write: bool) -> str:
    """Return the least remedy for one path that is in the way. Never raises.

    Args:
        path: an existing file or folder.
        me: who asks.
        write: whether it must be written; else read.
    """
    try:
        state = path.stat()
    except OSError:
        return f"let this user reach {path}"
    if me is None or me.uid == 0:
        return f"see why {path} cannot be used: its permissions, or the mount or disk below it"
    quoted, wanted = shlex.quote(str(path)), _wanted(state.st_mode, write=write)
    if state.st_uid == me.uid:
        return f"run `chmod u+{wanted} {quoted}`"
    who = _name(state.st_uid)
    if state.st_gid in me.groups:
        run = "run `sudo " if state.st_uid == 0 else f"ask its owner {who} to run `"
        return f"{run}chmod g+{wanted} {quoted}` (you are in its group {state.st_gid})"
    if state.st_uid == 0 and _is_below_something_of(me.uid, path):
        return f"root left it, perhaps in a container: run `sudo chown {me.uid}:{me.gid} {quoted}`, this path alone"
    return (
        f"ask its owner {who} to share it with a group of yours (`chgrp GROUP {quoted}` and "
        f"`chmod g+{wanted} {quoted}`), or keep a cache of your own (HF_HUB_CACHE, SPACY_DATA, TORCH_HOME, QDA_RECORDS)"
    )


def described(path: Path) -> str:
    """Return owner, group and mode of a path: `0:0 with mode 0755`."""
    state = path.stat()
    return f"{state.st_uid}:{state.st_gid} with mode {state.st_mode & 0o7777:04o}"


def _is_below_something_of(uid: int, path: Path) -> bool:
    """Whether root's path lies inside what is this user's: only there may it become theirs, too."""
    return any(parent.stat().st_uid == uid for parent in path.absolute().parents)


def _wanted(mode: int, *, write: bool) -> str:
    reading = "rx" if stat.S_ISDIR(mode) else "r"
    return reading.replace("r", "rw") if write else reading


def _name(uid: int) -> str:
    try:
        import pwd

        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except (ImportError, KeyError):  # Windows; a user of a container that this system does not know
        return f"uid {uid}"
