"""What a queue tells whoever counts: a narrow hook, so that neither metrics nor queue know anything of the other."""

from typing import Final, Protocol


class Observer(Protocol):
    """Hears of each event once, from whichever thread it happens in. Must be quick, and must not raise."""

    def on_batch(self, units: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A batch was computed.

        tokens: the lengths of its units, in the model's length unit. padded_tokens: what was computed for them.
        seconds: of the wall clock.
        """

    def on_queue_seconds(self, seconds: float) -> None:
        """A text's first unit is about to be computed, so long after its arrival; without its tokenising."""

    def on_outcome(self, reason: str, *, cut: bool) -> None:
        """A text has its outcome: `OK`, or the reason of its error. cut: its answer rests on a part of it only."""

    def on_refused(self, reason: str, texts: int) -> None:
        """A call of so many texts was turned away, or those of it that were left: QUEUE_FULL, DEADLINE_TOO_SHORT …"""

    def on_cancelled(self, reason: str, texts: int) -> None:
        """Nobody waits for these texts any more, which had no outcome yet and get none: CANCELLED_BY_CALLER …"""


class NullObserver:
    """Tells nobody."""

    __slots__ = ()

    def on_batch(self, units: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """Nothing."""

    def on_queue_seconds(self, seconds: float) -> None:
        """Nothing."""

    def on_outcome(self, reason: str, *, cut: bool) -> None:
        """Nothing."""

    def on_refused(self, reason: str, texts: int) -> None:
        """Nothing."""

    def on_cancelled(self, reason: str, texts: int) -> None:
        """Nothing."""


CANCELLED_BY_CALLER: Final = "CANCELLED_BY_CALLER"
CANCELLED_BY_WORKER: Final = "CANCELLED_BY_WORKER"
# Why nobody waits any more; the same words for calls.
DEADLINE_PASSED: Final = "DEADLINE_PASSED"

SILENT: Final = NullObserver()
