"""What a program used: processor time and memory of it alone.

A child's greatest resident size begins with that of whoever started it (Linux counts from before exec), so programs are
started by a small one.
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


class Used(NamedTuple):
    """Seconds of user and system time, and the greatest resident size in bytes."""

    seconds: float
    resident: int


def used_by(command: Sequence[str], stdin: bytes = b"") -> Used:
    """Run a program, which must succeed, without its output."""
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(launcher, input=stdin, stdout=subprocess.PIPE, check=True)
    code, seconds, resident = json.loads(done.stdout)
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {code}")
    return Used(seconds, resident)
