"""Run `cache-warmer` commands in a Python that lacks what Windows lacks: calls of `os`, flags, modules.

    python -m tests.support.without_posix COMMANDS

COMMANDS is a JSON list of command lines. They run one after the other in this process; the exit codes are printed as
a JSON list. The standard library is imported first, because it chooses its own fallbacks by the name of the system.
"""

import asyncio
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
from typing import Final, NamedTuple, TextIO

CALLS: Final = (
    "chown", "fchmod", "fchown", "fdatasync", "fork", "getegid", "geteuid", "getgid", "getgroups", "getuid",
    "killpg", "lchown", "mkfifo", "posix_fallocate", "posix_fadvise", "pread", "preadv", "pwrite", "pwritev",
    "sched_getaffinity", "sched_setaffinity", "setgid", "setsid", "setuid", "statvfs", "sync", "sysconf", "uname",
)  # fmt: skip
FLAGS: Final = ("O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC")
SIGNALS: Final = ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2")
MODULES: Final = ("fcntl", "grp", "pwd", "resource", "termios")


class DiskUsage(NamedTuple):
    """The result of `shutil.disk_usage`."""

    total: int
    used: int
    free: int


def main() -> None:
    """Take the calls away, run the commands, and print their exit codes."""
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
    from cache_warmer.cli import cache_warmer
    from model_cache.check.cli import cache_check
    from model_cache.cli.program import run_main

    codes = []
    for argv in json.loads(sys.argv[1]):
        program = cache_check if argv[0] == "cache-check" else cache_warmer
        arguments = argv[1:] if argv[0] == "cache-check" else argv
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # results are of no interest here
            main_program = functools.partial(_run_program, program, nowhere)
            codes.append(
                run_main(
                    main_program,
                    arguments,
                    name=argv[0],
                    environ=os.environ,
                )
            )
    print(json.dumps(codes))


def _run_program(program: Callable[..., int], out: TextIO, argv: Sequence[str]) -> int:
    return program(argv, os.environ, out)


def _disk_usage(statvfs: Callable[[str], os.statvfs_result], path: str) -> DiskUsage:
    found = statvfs(path)
    free = found.f_bavail * found.f_frsize
    return DiskUsage(found.f_blocks * found.f_frsize, 0, free)


if __name__ == "__main__":
    main()
