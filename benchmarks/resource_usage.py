"""Processor time and memory of one program.

Linux counts a child's peak of memory from before `exec`, so it begins with the memory of the process that started it.
Programs are therefore started by a small launcher.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

_LAUNCHER: Final = """
import os, sys
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", 1, 0)])
_, status, used = os.wait4(pid, 0)
print([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024])
"""


class ResourceUsage(NamedTuple):
    """Seconds of user and system time, and the peak of resident memory in bytes."""

    seconds: float
    resident: int


def measure_usage(command: Sequence[str], stdin: bytes = b"") -> ResourceUsage:
    """Run a program, discard its output, and return what it used.

    Raises:
        SystemExit: the program failed.
    """
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    completed = subprocess.run(launcher, input=stdin, stdout=subprocess.PIPE, check=True)
    code, seconds, resident = json.loads(completed.stdout)
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {code}")
    return ResourceUsage(seconds, resident)
