"""The hook through which a queue reports events, so that metrics and queue do not depend on each other."""

from typing import Final, Protocol

# Reasons passed to `Observer.on_cancelled`. Calls are counted under the same reasons.
CANCELLED_BY_CALLER: Final = "CANCELLED_BY_CALLER"
CANCELLED_BY_WORKER: Final = "CANCELLED_BY_WORKER"
DEADLINE_PASSED: Final = "DEADLINE_PASSED"


class Observer(Protocol):
    """Receiver of a queue's events.

    Each event is reported once, from the thread in which it happens and without the queue's lock. A method must return
    quickly and must not raise.
    """

    def on_batch(self, units: int, tokens: int, cost: float, seconds: float) -> None:
        """Handle a computed batch.

        Args:
            units: number of units in the batch.
            tokens: sum of their lengths, in the model's length unit.
            cost: of the batch, see `BatchBudget.cost`: `tokens` and what their padding costs.
            seconds: duration, by the queue's clock.
        """

    def on_queue_seconds(self, seconds: float) -> None:
        """Handle the start of a text's first batch, `seconds` after its arrival, tokenizing not included."""

    def on_outcome(self, reason: str, *, cut: bool) -> None:
        """Handle the outcome of one text.

        Args:
            reason: `OK`, or the reason of the error.
            cut: whether the result is based on a part of the text only.
        """

    def on_refused(self, reason: str, texts: int) -> None:
        """Handle the refusal of a call, at admission or later.

        Args:
            reason: such as QUEUE_FULL or DEADLINE_TOO_SHORT.
            texts: number of texts of the call that had no outcome.
        """

    def on_cancelled(self, reason: str, texts: int) -> None:
        """Handle the cancellation of a call.

        Args:
            reason: CANCELLED_BY_CALLER, CANCELLED_BY_WORKER or DEADLINE_PASSED.
            texts: number of texts of the call that had no outcome and will get none.
        """


class NullObserver:
    """Observer that ignores every event."""

    __slots__ = ()

    def on_batch(self, units: int, tokens: int, cost: float, seconds: float) -> None:
        """Do nothing."""

    def on_queue_seconds(self, seconds: float) -> None:
        """Do nothing."""

    def on_outcome(self, reason: str, *, cut: bool) -> None:
        """Do nothing."""

    def on_refused(self, reason: str, texts: int) -> None:
        """Do nothing."""

    def on_cancelled(self, reason: str, texts: int) -> None:
        """Do nothing."""


NULL_OBSERVER: Final = NullObserver()
