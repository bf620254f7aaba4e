"""Keep the record of this run up to date, so that a run that is killed is reported, with its memory.

A process that is killed for lack of memory cannot report anything. `RunRecorder` writes in advance, every
`INTERVAL_SECONDS`, and more often while the libraries and models are loaded, in a daemon thread:

- the run record (`model_cache.run_record`), which the next container of the pod reads;
- the termination message, which the kubelet copies into the status of the pod when the container ends, however it
  ends: `kubectl describe pod` shows it below `OOMKilled`.

Both files are overwritten in place and never synced: they need to survive the process, not the machine. A shutdown
empties the termination message. What cannot be written is ignored, because a worker must not fail for its record.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from model_cache.memory import MemoryUse, memory_use
from model_cache.run_record import (
    Kill,
    RunRecord,
    RunState,
    dump_run_record,
    read_run_record,
    run_record_path,
)

# Interval between two records. A sample reads three small files of the kernel.
INTERVAL_SECONDS: Final = 1.0
# The same in the first STARTUP_SECONDS: importing the libraries takes 150 MiB in less than a second.
STARTUP_INTERVAL_SECONDS: Final = 0.1
STARTUP_SECONDS: Final = 60.0
# The default of `terminationMessagePath`. The container runtime makes the file; it is never created here.
TERMINATION_LOG: Final = Path("/dev/termination-log")


class RunRecorder:
    """Writes the record of this run until `close`. Without a path it does nothing.

    Attributes:
        kill: the last run of this pod that ended without a shutdown; None if none did.
        follows_kill: whether that was the run just before this one.
    """

    def __init__(
        self,
        path: Path | None,
        activity: Callable[[], str],
        *,
        termination_log: Path = TERMINATION_LOG,
        memory: Callable[[], MemoryUse | None] = memory_use,
        clock: Callable[[], float] = time.time,
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        """Read the record of the former run; `start` replaces it.

        Args:
            path: path of the record; None: write nothing.
            activity: returns what the worker does, as `loading german-ner`; called in the recorder's thread.
            termination_log: path of the termination message.
            memory: returns the memory of the container.
            clock: returns seconds since 1970.
            interval: seconds between two records; at most STARTUP_INTERVAL_SECONDS in the first STARTUP_SECONDS.
        """
        self._path, self._activity, self._termination_log = path, activity, termination_log
        self._memory, self._clock, self._interval = memory, clock, interval
        former = read_run_record(path) if path is not None else None
        self.kill: Kill | None = former.kill_before_next() if former is not None else None
        self.follows_kill = former is not None and former.state is RunState.RUNNING
        self._started = clock()
        self._state = RunState.RUNNING
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], activity: Callable[[], str]) -> "RunRecorder":
        """Return the recorder whose folder the environment names."""
        return cls(run_record_path(environ), activity)

    def start(self) -> None:
        """Write the first record and start the thread."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._write()
        self._thread = threading.Thread(target=self._run, name="run-record", daemon=True)
        self._thread.start()

    def stopping(self) -> None:
        """Record that a shutdown began: its end is expected, even by force."""
        self._state = RunState.STOPPING
        self._write()

    def close(self) -> None:
        """Record the end of the run, and empty the termination message."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(2 * self._interval)
        self._state = RunState.ENDED
        self._write()

    def _run(self) -> None:
        while not self._closing.wait(self._next_interval()):
            self._write()

    def _next_interval(self) -> float:
        starting = self._clock() - self._started < STARTUP_SECONDS
        return min(self._interval, STARTUP_INTERVAL_SECONDS) if starting else self._interval

    def _write(self) -> None:
        if self._path is None:
            return
        record = RunRecord(
            self._state, self._started, self._clock(), self._activity(), self._memory(), self.kill
        )
        with contextlib.suppress(OSError):
            _overwrite(self._path, dump_run_record(record), create=True)
        with contextlib.suppress(OSError):
            _overwrite(self._termination_log, _termination_message(record), create=False)


def _termination_message(record: RunRecord) -> bytes:
    """Return what the pod's status shall show if the process ends now; empty once a shutdown began."""
    if record.state is not RunState.RUNNING:
        return b""
    when = datetime.fromtimestamp(record.updated, UTC).strftime("%H:%M:%S UTC")
    used = f" It used {record.memory} of memory." if record.memory is not None else ""
    return (
        f"The worker ended without a shutdown after {when}, while {record.activity}.{used} If the reason is OOMKilled, "
        "increase worker.resources.limits.memory; otherwise see `kubectl logs --previous`.\n"
    ).encode()


def _overwrite(path: Path, content: bytes, *, create: bool) -> None:
    """Replace the content of a file in place. Raises OSError."""
    try:
        file = path.open("r+b", buffering=0)
    except FileNotFoundError:
        if not create:
            raise
        file = path.open("w+b", buffering=0)
    with file:
        file.write(content)
        file.truncate(len(content))
