"""The progress of a command: how many texts have a result, how many in a second, and how long the others take.

The rate is that of the last half minute. The number of texts of an input that is read as a stream is found by reading
it a second time, in a thread (`InputCounter`); until it is known, and for stdin, the line tells no remaining time.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from qda_worker.client.cli.terminal import Terminal

# Seconds between two updates, and of the results that the rate is computed from.
_UPDATE_INTERVAL: Final = 0.2
_WINDOW: Final = 30.0

Clock = Callable[[], float]


class ProgressLine:
    """The progress line of one run."""

    def __init__(
        self,
        terminal: Terminal,
        *,
        total: Callable[[], int | None],
        before: int = 0,
        clock: Clock = time.monotonic,
    ) -> None:
        """Begin at zero.

        Args:
            terminal: where to draw.
            total: returns the number of texts, None as long as it is not known.
            before: number of texts with a result of an earlier run.
            clock: returns seconds.
        """
        self._terminal = terminal
        self._total = total
        self._before = before
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._drawn_at = clock() - _UPDATE_INTERVAL

    def show(self, done: int) -> None:
        """Draw the progress, unless that was done a moment ago.

        Args:
            done: number of texts that this run has a result of.
        """
        now = self._clock()
        if now - self._drawn_at < _UPDATE_INTERVAL:
            return
        self._drawn_at = now
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW:
            self._samples.popleft()
        began, first = self._samples[0]
        rate = (done - first) / (now - began) if now > began else 0.0
        self._terminal.draw(describe_progress(self._before + done, self._total(), rate))

    def end(self) -> None:
        """Erase the line."""
        self._terminal.draw("")


class InputCounter:
    """Counts the texts of an input in a thread of its own."""

    def __init__(self, texts: Iterable[object]) -> None:
        """Begin to read the texts."""
        self._texts = texts
        self._total: int | None = None
        self._stopped = False
        threading.Thread(target=self._count, daemon=True).start()

    @property
    def total(self) -> int | None:
        """The number of texts; None as long as it is not known."""
        return self._total

    def stop(self) -> None:
        """Stop reading."""
        self._stopped = True

    def _count(self) -> None:
        count = 0
        try:
            for _ in self._texts:
                count += 1
                if self._stopped:
                    return
        except Exception:  # noqa: BLE001 - the run itself reports what is wrong with the input
            return
        self._total = count


def describe_progress(done: int, total: int | None, rate: float) -> str:
    """Return one line, as `1,200 of 5,000 texts (24%), 62/s, 1 min left`.

    Args:
        done: number of texts with a result.
        total: number of texts; None if it is not known.
        rate: texts in a second.
    """
    parts = [f"{done:,} texts" if total is None else f"{done:,} of {total:,} texts ({_percent(done, total)})"]
    if rate > 0:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if total is not None and total >= done:
            parts.append(f"{_duration((total - done) / rate)} left")
    return ", ".join(parts)


def _percent(done: int, total: int) -> str:
    return f"{int(100 * done / total)}%" if total else "100%"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.0f} days"
