"""How far a run is: counted by the threads, shown as a bar on a terminal and as a line elsewhere.

Everything that is shown is a pure function of a `Snapshot` in time; the reporter only decides when.
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

from model_cache.check.report import human_bytes

# Long enough to smooth bursts, short enough to follow a network that gets slower.
_SPEED_WINDOW_SECONDS: Final = 15.0
_BAR_PAUSE_SECONDS: Final = 0.2
_LINE_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """The state of a run.

    Attributes:
        done, total: bytes, those that were staged by an earlier run included.
        files_done, files_total: bodies.
        speed: bytes a second over the last seconds; None: not known yet.
        current: what is being worked at.
    """

    done: int
    total: int
    files_done: int
    files_total: int
    speed: float | None
    current: str


def line(moment: ProgressSnapshot) -> str:
    """Return `40 % 1.2 GB of 3.0 GB, 12.3 MB/s, 2 min 30 s left, 3 of 17 files, now: …`."""
    share = min(100, 100 * moment.done // moment.total) if moment.total else 100
    parts = [f"{share} % {human_bytes(moment.done)} of {human_bytes(moment.total)}"]
    if moment.speed:
        parts.append(f"{human_bytes(int(moment.speed))}/s")
        parts.append(f"{duration(max(0, moment.total - moment.done) / moment.speed)} left")
    parts.append(f"{moment.files_done} of {moment.files_total} files")
    if moment.current:
        parts.append(f"now: {moment.current}")
    return ", ".join(parts)


def bar(moment: ProgressSnapshot, columns: int) -> str:
    """Return a bar and the line, cut to so many columns."""
    width = 20
    filled = min(width, width * moment.done // moment.total) if moment.total else width
    return f"[{'#' * filled}{'-' * (width - filled)}] {line(moment)}"[: max(1, columns - 1)]


def duration(seconds: float) -> str:
    """Return a duration for people: `5 s`, `2 min 5 s`, `1 h 3 min`."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Counter:
    """Counts from many threads; `moment` reads all of it at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = threading.Lock(), clock
        self._done = self._total = self._files_done = self._files_total = 0
        self._current: dict[str, None] = {}
        self._past: deque[tuple[float, int]] = deque()

    def expect(self, count: int, files: int) -> None:
        """Add to what is to be done."""
        with self._lock:
            self._total += count
            self._files_total += files

    def add(self, count: int) -> None:
        """Count bytes; a negative number for those that must be fetched again."""
        with self._lock:
            self._done += count

    def resume(self, count: int) -> None:
        """Count bytes that an earlier run fetched: done, and no part of the speed."""
        with self._lock:
            self._done += count
            self._past = deque((when, done + count) for when, done in self._past)

    @contextmanager
    def working_at(self, name: str) -> Iterator[None]:
        """Show a name while the block runs; count the file at its end."""
        with self._lock:
            self._current[name] = None
        try:
            yield
            with self._lock:
                self._files_done += 1
        finally:
            with self._lock:
                self._current.pop(name, None)

    def moment(self) -> ProgressSnapshot:
        """Return the state now."""
        now = self._clock()
        with self._lock:
            self._past.append((now, self._done))
            while len(self._past) > 2 and now - self._past[0][0] > _SPEED_WINDOW_SECONDS:
                self._past.popleft()
            since, before = self._past[0]
            speed = (self._done - before) / (now - since) if now > since and self._done > before else None
            current = next(iter(self._current), "")
            if len(self._current) > 1:
                current += f" (and {len(self._current) - 1} more)"
            return ProgressSnapshot(
                self._done, self._total, self._files_done, self._files_total, speed, current
            )


@contextmanager
def shown(counter: Counter, out: TextIO | None = None) -> Iterator[None]:
    """Show the counter while the block runs, from a thread of its own; `out` is stderr."""
    stream = out if out is not None else sys.stderr
    terminal = stream.isatty()
    over = threading.Event()

    def show() -> None:
        while not over.wait(_BAR_PAUSE_SECONDS if terminal else _LINE_PAUSE_SECONDS):
            _write(stream, counter.moment(), terminal=terminal)

    counter.moment()  # the first point of the speed
    thread = threading.Thread(target=show, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1.0)
        _write(stream, counter.moment(), terminal=terminal)
        if terminal:
            stream.write("\n")
        stream.flush()


def _write(stream: TextIO, moment: ProgressSnapshot, *, terminal: bool) -> None:
    if terminal:
        columns = shutil.get_terminal_size().columns
        stream.write(f"\r{bar(moment, columns)}\x1b[K")
    else:
        stream.write(f"cache-warmer: {line(moment)}\n")
    stream.flush()
