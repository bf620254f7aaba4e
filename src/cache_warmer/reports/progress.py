"""Progress of the transfers: counted by many threads, displayed as a bar on a terminal and as lines elsewhere.

`ProgressCounter` is shared by the threads that fetch, read or write files. `show_progress` runs one daemon thread that
takes a `ProgressSnapshot` several times a second (every five seconds where stderr is not a terminal) and writes it.
What is written is a pure function of successive snapshots; the thread only decides when. It is joined for at most one
second, so a blocked stderr cannot hold up the run.
"""

import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO

from model_cache.formatting import human_bytes, printable

# Seconds over which the speed is averaged: long enough to smooth bursts, short enough to follow a slower network.
_SPEED_WINDOW_SECONDS: Final = 15.0
# Seconds between two updates on a terminal, and between two lines elsewhere.
_BAR_INTERVAL_SECONDS: Final = 0.2
_LINE_INTERVAL_SECONDS: Final = 5.0
# Characters.
_BAR_WIDTH: Final = 20


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """The progress of a run at one time.

    Attributes:
        done: bytes, with those that an earlier run staged.
        total: bytes.
        files_done: number of bodies.
        files_total: number of bodies.
        speed: bytes a second over the last seconds; None: not known yet.
        current: the file in progress, and how many others; empty: none.
    """

    done: int
    total: int
    files_done: int
    files_total: int
    speed: float | None
    current: str


class ProgressCounter:
    """Counts bytes and files; all methods are thread-safe.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = threading.Lock(), clock
        self._done = self._total = self._files_done = self._files_total = 0
        self._current: dict[str, None] = {}  # an ordered set
        self._samples: deque[tuple[float, int]] = deque()  # (time, bytes done)

    def expect(self, count: int, files: int) -> None:
        """Add bytes and files to the totals."""
        with self._lock:
            self._total += count
            self._files_total += files

    def add(self, count: int) -> None:
        """Count bytes; a negative number for those that must be fetched again."""
        with self._lock:
            self._done += count

    def resume(self, count: int) -> None:
        """Count bytes that an earlier run fetched: they are done, but do not count for the speed."""
        with self._lock:
            self._done += count
            self._samples = deque((when, done + count) for when, done in self._samples)

    @contextmanager
    def track_file(self, name: str) -> Iterator[None]:
        """Show a name while the block runs, and count the file unless the block raises."""
        with self._lock:
            self._current[name] = None
        try:
            yield
            with self._lock:
                self._files_done += 1
        finally:
            with self._lock:
                self._current.pop(name, None)

    def snapshot(self) -> ProgressSnapshot:
        """Return the progress now; each call adds a sample for the speed."""
        now = self._clock()
        with self._lock:
            self._samples.append((now, self._done))
            while len(self._samples) > 2 and now - self._samples[0][0] > _SPEED_WINDOW_SECONDS:
                self._samples.popleft()
            since, before = self._samples[0]
            speed = (self._done - before) / (now - since) if now > since and self._done > before else None
            current = next(iter(self._current), "")
            if len(self._current) > 1:
                current += f" (and {len(self._current) - 1} more)"
            return ProgressSnapshot(
                self._done, self._total, self._files_done, self._files_total, speed, current
            )


def format_line(snapshot: ProgressSnapshot) -> str:
    """Return `40 % 1.2 GB of 3.0 GB, 12.3 MB/s, 2 min 30 s left, 3 of 17 files, now: …`."""
    percent = min(100, 100 * snapshot.done // snapshot.total) if snapshot.total else 100
    parts = [f"{percent} % {human_bytes(snapshot.done)} of {human_bytes(snapshot.total)}"]
    if snapshot.speed:
        parts.append(f"{human_bytes(int(snapshot.speed))}/s")
        parts.append(f"{format_duration(max(0, snapshot.total - snapshot.done) / snapshot.speed)} left")
    parts.append(f"{snapshot.files_done} of {snapshot.files_total} files")
    if snapshot.current:
        parts.append(f"now: {printable(snapshot.current)}")
    return ", ".join(parts)


def format_bar(snapshot: ProgressSnapshot, columns: int) -> str:
    """Return a bar and the line, cut to fewer characters than the terminal has columns."""
    filled = min(_BAR_WIDTH, _BAR_WIDTH * snapshot.done // snapshot.total) if snapshot.total else _BAR_WIDTH
    return f"[{'#' * filled}{'-' * (_BAR_WIDTH - filled)}] {format_line(snapshot)}"[: max(1, columns - 1)]


def format_duration(seconds: float) -> str:
    """Return a duration for people: `5 s`, `2 min 5 s`, `1 h 3 min`."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def show_progress(counter: ProgressCounter, out: TextIO | None = None) -> Iterator[None]:
    """Display the counter while the block runs, from a thread of its own.

    Args:
        counter: what is displayed.
        out: the stream to write to; None: stderr.
    """
    stream = out if out is not None else sys.stderr
    terminal = stream.isatty()
    ended = threading.Event()

    def update() -> None:
        while not ended.wait(_BAR_INTERVAL_SECONDS if terminal else _LINE_INTERVAL_SECONDS):
            _write(stream, counter.snapshot(), terminal=terminal)

    counter.snapshot()  # the first sample for the speed
    thread = threading.Thread(target=update, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1.0)
        _write(stream, counter.snapshot(), terminal=terminal)
        if terminal:
            stream.write("\n")
        stream.flush()


def _write(stream: TextIO, snapshot: ProgressSnapshot, *, terminal: bool) -> None:
    if terminal:
        columns = shutil.get_terminal_size().columns
        stream.write(f"\r{format_bar(snapshot, columns)}\x1b[K")
    else:
        stream.write(f"cache-warmer: {format_line(snapshot)}\n")
    stream.flush()
