"""Run `cache-warmer` commands in a Python that lacks what Windows lacks: calls of `os`, flags, modules.

    python -m tests.support.without_posix COMMANDS [no-links]

COMMANDS is a JSON list of command lines. They run one after the other in this process; the exit codes are printed as
a JSON list. With `no-links` no symbolic link can be created, as on Windows without Developer Mode.
In any case an open file is neither deleted nor renamed, as on Windows.

The standard library is imported first, because it chooses its own fallbacks by the name of the system.
"""

import asyncio
import errno
import functools
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TextIO

CALLS: Final = (
    "chown", "fchmod", "fchown", "fdatasync", "fork", "getegid", "geteuid", "getgid", "getgroups", "getuid",
    "killpg", "lchown", "mkfifo", "posix_fallocate", "posix_fadvise", "pread", "preadv", "pwrite", "pwritev",
    "sched_getaffinity", "sched_setaffinity", "setgid", "setsid", "setuid", "statvfs", "sync", "sysconf", "uname",
)  # fmt: skip
FLAGS: Final = ("O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC")
SIGNALS: Final = ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2")
MODULES: Final = ("fcntl", "grp", "pwd", "resource", "termios")


class OpenFileError(PermissionError):
    """A refusal of Windows, with its number."""

    winerror: int


class DiskUsage(NamedTuple):
    """The result of `shutil.disk_usage`."""

    total: int
    used: int
    free: int


def main() -> None:
    """Take the calls away, run the commands, and print their exit codes."""
    take_away(links=sys.argv[2:] == ["no-links"])
    print(json.dumps([_run_command(argv) for argv in json.loads(sys.argv[1])]))


def take_away(*, links: bool = False) -> None:
    """Remove what Windows lacks from this process, and with `links` the right to create symbolic links."""
    assert all((asyncio, shutil, ssl, subprocess, tempfile, Path))  # imported with their calls in place
    shutil.disk_usage = functools.partial(_disk_usage, os.statvfs)  # type: ignore[assignment]  # the library has one for each system
    for name in (*CALLS, *FLAGS):
        if hasattr(os, name):
            delattr(os, name)
    for name in SIGNALS:
        if hasattr(signal, name):
            delattr(signal, name)
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # import then raises ImportError
    for name in ("unlink", "remove", "rename", "replace"):
        setattr(os, name, functools.partial(_unless_open, getattr(os, name)))
    if links:
        os.symlink = _refuse_link  # type: ignore[assignment]  # it returns never


def _unless_open(call: Callable[..., None], *paths: str, **options: object) -> None:
    """Delete or rename a file, unless this process has it open: Windows refuses that as a sharing violation."""
    for path in () if "dir_fd" in options else paths:
        if not os.path.islink(path) and os.path.isfile(path) and _is_open(os.stat(path)):
            error = OpenFileError(errno.EACCES, "Sharing violation", os.fspath(path))
            error.winerror = 32
            raise error
    call(*paths, **options)


def _is_open(state: os.stat_result) -> bool:
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.path.samestat(os.fstat(int(number)), state):
                return True
        except OSError:  # closed meanwhile, as the descriptor of the listing itself
            continue
    return False


def _refuse_link(source: str, link: str, target_is_directory: bool = False, **_: object) -> NoReturn:
    """Fail as Windows does without Developer Mode: its error 1314, which Python turns into EINVAL."""
    raise OSError(errno.EINVAL, "A required privilege is not held by the client", os.fspath(link))


def _run_command(argv: Sequence[str]) -> int:
    from cache_warmer.cli import cache_warmer
    from model_cache.check.cli import cache_check
    from model_cache.cli.program import run_main

    program = cache_check if argv[0] == "cache-check" else cache_warmer
    arguments = argv[1:] if argv[0] == "cache-check" else argv
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # results are of no interest here
        main_program = functools.partial(_run_program, program, nowhere)
        return run_main(main_program, arguments, name=argv[0], environ=os.environ)


def _run_program(program: Callable[..., int], out: TextIO, argv: Sequence[str]) -> int:
    return program(argv, os.environ, out)


def _disk_usage(statvfs: Callable[[str], os.statvfs_result], path: str) -> DiskUsage:
    found = statvfs(path)
    free = found.f_bavail * found.f_frsize
    return DiskUsage(found.f_blocks * found.f_frsize, 0, free)


if __name__ == "__main__":
    main()
