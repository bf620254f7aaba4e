"""Loads of models run side by side, and measurements of engines one at a time, without a load beside them.

Loading overlaps well: one model is read while another one is built. A measurement beside it is worthless: the loading
thread holds Python's global interpreter lock and a CPU, which delays an engine that is called for each operation much
more than one that is called for each graph. So a load that comes to its measurement waits until the other loads have
ended or wait too, and a load that begins meanwhile waits for the measurement.

Patience: after `PATIENCE_SECONDS` work goes on nevertheless, because a load may wait minutes for a slow volume.

A measurement also takes a turn at the CPUs (`scheduling.turns`), as the models that serve already do.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from qda_worker.scheduling.turns import ComputeTurn, ComputeTurns

# How long a load or a measurement waits for another one: some measurements, and most loads from a local disk.
PATIENCE_SECONDS: Final = 10.0


class LoadTurns:
    """The loads and measurements of this process. Any thread may call every method."""

    def __init__(self, turns: ComputeTurns, *, patience: float = PATIENCE_SECONDS) -> None:
        """Begin without a load.

        Args:
            turns: those of the computations.
            patience: how long a load or a measurement waits for another one, in seconds.
        """
        self._turns = turns
        self._patience = patience
        self._changed = threading.Condition()  # guards everything below
        self._loads = 0
        self._measurements = 0

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Count the block as a load. It waits for a measurement that runs."""
        with self._changed:
            self._changed.wait_for(lambda: not self._measurements, self._patience)
            self._loads += 1
        try:
            yield
        finally:
            with self._changed:
                self._loads -= 1
                self._changed.notify_all()

    @contextmanager
    def measuring(self) -> Iterator[ComputeTurn]:
        """Measure in the block, which is a part of a `loading` block of the same thread.

        Yields:
            The turn at the CPUs, which the block holds and may give away.
        """
        with self._changed:
            self._loads -= 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._loads and not self._measurements, self._patience)
            self._measurements += 1
        try:
            with self._turns.turn(interactive=False) as turn:
                yield turn
        finally:
            with self._changed:
                self._measurements -= 1
                self._loads += 1
                self._changed.notify_all()
