"""Turns of computations at the CPUs of this process.

Each computation of a model, and each tile of a paraphrase search, uses all compute threads (`qda_worker.cpu`). Two of
them at once are twice as many threads as there are CPUs. Threads of one parallel region wait for each other, so that
each thread that waits for a CPU stops its whole region, and under a CPU quota the kernel stops the process. So they
take turns: `ComputeTurns` is one lock for the process, which its holder passes on at pause points (`models.pauses`).

Order: interactive work first, then by arrival. A holder gives way to interactive work at its next pause point, unless
it is interactive itself; to work of its own kind after `SLICE_SECONDS`, so that a short text of one model passes
between the parts of a long batch of another. Interactive work does not give way to bulk work.

Patience: what has waited for `PATIENCE_SECONDS` computes beside the holder. So bulk work does not starve, and a
computation that hangs or has no pause points stops nobody else.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

# How long a holder computes before it gives way to work of its own kind: a text of some sentences is computed in one.
SLICE_SECONDS: Final = 0.1
# How long work waits before it computes beside the holder: longer than most batches that have no pause points.
PATIENCE_SECONDS: Final = 2.0


class ComputeTurn:
    """The turn of one computation; made by `ComputeTurns.turn`, and for one thread."""

    __slots__ = ("_clock", "_since", "_turns", "beside", "interactive", "number")

    def __init__(self, turns: "ComputeTurns", clock: Callable[[], float], *, interactive: bool) -> None:
        self._turns = turns
        self._clock = clock
        self._since = 0.0
        self.interactive = interactive
        self.number = 0  # order of arrival
        self.beside = False  # whether it computes beside the holder

    def begin(self) -> None:
        """Wait for the turn."""
        self._turns.acquire(self)
        self._since = self._clock()

    def give_way(self) -> bool:
        """Let other work compute if it is due, and wait for the next turn. Return whether that happened.

        Costs next to nothing if nothing waits.
        """
        first = self._turns.first_waiting
        if first is None or self.beside or (self.interactive and not first.interactive):
            return False
        if first.interactive == self.interactive and self._clock() - self._since < SLICE_SECONDS:
            return False
        self._turns.release(self)
        self.begin()
        return True


class ComputeTurns:
    """The turns of this process. Any thread may call every method."""

    def __init__(
        self, *, patience: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Create the turns, without a holder.

        Args:
            patience: how long work waits before it computes beside the holder, in seconds.
            clock: monotonic seconds, for the length of a turn.
        """
        self._patience = patience
        self._clock = clock
        self._changed = threading.Condition()  # guards everything below
        self._arrivals = count(1)
        self._holder: ComputeTurn | None = None
        self._waiting: list[ComputeTurn] = []
        # What is due next. Written under the lock, and read without it at every pause point.
        self.first_waiting: ComputeTurn | None = None

    @property
    def waiting(self) -> int:
        """How many computations wait for their turn."""
        return len(self._waiting)

    @contextmanager
    def turn(self, *, interactive: bool) -> Iterator[ComputeTurn]:
        """Wait for a turn and hold it in the block.

        Args:
            interactive: whether somebody waits for the result.
        """
        turn = ComputeTurn(self, self._clock, interactive=interactive)
        turn.begin()
        try:
            yield turn
        finally:
            self.release(turn)

    def acquire(self, turn: ComputeTurn) -> None:
        """Wait until a turn is due, or its patience ends."""
        with self._changed:
            turn.number = next(self._arrivals)
            self._waiting.append(turn)
            self._choose_first()
            turn.beside = not self._changed.wait_for(
                lambda: self._holder is None and self.first_waiting is turn, self._patience
            )
            self._waiting.remove(turn)
            self._choose_first()
            if not turn.beside:
                self._holder = turn

    def release(self, turn: ComputeTurn) -> None:
        """End a turn, and wake up what waits."""
        with self._changed:
            if self._holder is turn:
                self._holder = None
            self._changed.notify_all()

    def _choose_first(self) -> None:
        self.first_waiting = min(
            self._waiting, key=lambda turn: (not turn.interactive, turn.number), default=None
        )
