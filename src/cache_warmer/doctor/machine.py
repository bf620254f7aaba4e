"""The machine and its user: Python, home folder, umask, clock, limit of open files."""

import os
import platform
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cache_warmer.disk.name_limits import LONG_PATHS_REMEDY, long_paths_enabled
from cache_warmer.doctor.diagnosis import Finding, Severity
from model_cache.check.permissions import current_user
from model_cache.cli.options import HOME_VARIABLE
from model_cache.file_io import read_small_file
from model_cache.places import Places
from model_cache.reasons import Reason

# Difference in seconds at which a clock is wrong: certificates and signed addresses are valid for longer.
CLOCK_SECONDS: Final = 300.0
# Files may have been written by a machine in another time zone that stores local time.
_FUTURE_SECONDS: Final = 86400.0
# A warmer has some ten connections, each with two files.
_OPEN_FILES: Final = 256
_STATUS: Final = Path("/proc/self/status")


def machine_facts(environ: Mapping[str, str], now: float) -> dict[str, str]:
    """Return facts about the machine for the report."""
    user = current_user()
    mask = current_umask()
    home = environ.get(HOME_VARIABLE, "")
    return {
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(terse=True),
        "user": f"uid {user.uid}, groups {', '.join(map(str, sorted(user.groups)))}"
        if user is not None
        else "unknown",
        "home": home or "(not set)",
        "umask": f"{mask:04o}" if mask is not None else "unknown",
        "clock": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
    }


def current_umask(status: Path = _STATUS) -> int | None:
    """Return the umask of this process, which is not changed for that where the system tells it; None on Windows."""
    try:
        lines = read_small_file(status).decode("utf-8", "replace").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    except (OSError, StopIteration, ValueError, IndexError):
        if os.name != "posix":
            return None
        mask = os.umask(0o077)
        os.umask(mask)
        return mask


def check_machine(
    environ: Mapping[str, str], places: Places | None, now: float, mask: int | None
) -> Iterator[Finding]:
    """Yield the findings about the machine and the user.

    Args:
        environ: the environment.
        places: the places of the cache; None if they could not be found.
        now: the clock of this machine, in seconds since the epoch.
        mask: the umask; None if there is none.
    """
    yield from _check_home(environ)
    yield from _check_umask(places, mask)
    yield from _check_clock(places, now)
    yield from _check_open_files()
    yield from check_long_paths(long_paths_enabled())


def clock_finding(now: float, other: float, whose: str) -> Finding:
    """Return the finding about a clock that differs from another one."""
    direction = "behind" if now < other else "ahead of"
    return Finding(
        Severity.WARNING,
        "clock",
        Reason.HUB_UNTRUSTED,
        f"the clock of this machine ({_time(now)}) is {abs(now - other):.0f} s {direction} {whose} ({_time(other)}): "
        "certificates and signed addresses may count as invalid",
        "set the clock of this machine (for example by NTP)",
    )


def _check_home(environ: Mapping[str, str]) -> Iterator[Finding]:
    home = environ.get(HOME_VARIABLE, "")
    if not home:
        system = os.path.expanduser("~")
        yield Finding(
            Severity.WARNING,
            "home",
            Reason.USAGE,
            f"{HOME_VARIABLE} is not set: libraries use {system if system != '~' else 'the working folder'}",
            f"set {HOME_VARIABLE}, or choose the folders with HF_HOME, TORCH_HOME, SPACY_DATA and QDA_RECORDS",
        )
    elif not os.path.isdir(home):
        yield Finding(
            Severity.WARNING,
            "home",
            Reason.NO_PERMISSION,
            f"the home folder {home} does not exist, or is closed to this user",
            f"create it, or set {HOME_VARIABLE} to another folder",
        )
    elif home == "/":
        yield Finding(
            Severity.WARNING,
            "home",
            Reason.USAGE,
            "the home folder is /, as of a container's user without an entry in its list of users",
            f"set {HOME_VARIABLE} to a folder that this user may write to, or give --cache DIR",
        )


def _check_umask(places: Places | None, mask: int | None) -> Iterator[Finding]:
    if mask is None:
        return
    if mask & 0o700:
        yield Finding(
            Severity.ERROR,
            "umask",
            Reason.NO_PERMISSION,
            f"the umask {mask:04o} takes permissions from the owner of new files",
            "run `umask 022`, or `umask 077` for files that no other user may read",
        )
    elif not mask & 0o002:
        yield Finding(
            Severity.WARNING,
            "umask",
            Reason.NO_PERMISSION,
            f"with the umask {mask:04o} every user of this machine may change new models",
            "run `umask 022`, or `umask 002` for a group that shares them",
        )
    for place in places.all() if places is not None else ():
        if mask & 0o020 and _is_shared(place.path):
            yield Finding(
                Severity.NOTE,
                "umask",
                Reason.NO_PERMISSION,
                f"{place.path} is shared by a group, and with the umask {mask:04o} other programs write files there "
                "that the group may not change (this project does not)",
                "run `umask 002` before programs that write there",
            )


def _is_shared(folder: Path) -> bool:
    try:
        mode = folder.stat().st_mode
    except (OSError, ValueError):
        return False
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)


def _check_clock(places: Places | None, now: float) -> Iterator[Finding]:
    installed = _written(Path(__file__))
    if installed is not None and now < installed - CLOCK_SECONDS:
        yield clock_finding(now, installed, "the time at which this program was installed")
        return
    for place in places.all() if places is not None else ():
        written = _written(place.path)
        if written is not None and written > now + _FUTURE_SECONDS:
            yield clock_finding(now, written, f"the time at which {place.path} was changed")
            return


def _check_open_files() -> Iterator[Finding]:
    try:
        import resource  # here: Windows has no such module
    except ImportError:
        return
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit < _OPEN_FILES:
        yield Finding(
            Severity.WARNING,
            "open-files",
            Reason.VOLUME_UNAVAILABLE,
            f"this process may open {limit} files at once, a warm needs up to {_OPEN_FILES}",
            f"run `ulimit -n {_OPEN_FILES * 4}` before it",
        )


def check_long_paths(enabled: bool) -> Iterator[Finding]:
    """Yield a finding if this system, which is then Windows, stores no paths of 260 characters."""
    if not enabled:
        yield Finding(
            Severity.WARNING,
            "long-paths",
            Reason.VOLUME_UNSUITABLE,
            "Windows refuses paths of 260 characters and more, which models in a deep folder have",
            LONG_PATHS_REMEDY,
        )


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except (OSError, ValueError):
        return None


def _time(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "an impossible time"
