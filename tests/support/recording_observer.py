"""A queue observer that records every event."""

from dataclasses import dataclass, field


@dataclass
class RecordingObserver:
    """The events of a queue, one list for each kind."""

    batches: list[tuple[int, int, float, float]] = field(default_factory=list)
    queue_seconds: list[float] = field(default_factory=list)
    outcomes: list[tuple[str, bool]] = field(default_factory=list)
    refused: list[tuple[str, int]] = field(default_factory=list)
    cancelled: list[tuple[str, int]] = field(default_factory=list)

    def on_batch(self, units: int, tokens: int, cost: float, seconds: float) -> None:
        self.batches.append((units, tokens, cost, seconds))

    def on_queue_seconds(self, seconds: float) -> None:
        self.queue_seconds.append(seconds)

    def on_outcome(self, reason: str, *, cut: bool) -> None:
        self.outcomes.append((reason, cut))

    def on_refused(self, reason: str, texts: int) -> None:
        self.refused.append((reason, texts))

    def on_cancelled(self, reason: str, texts: int) -> None:
        self.cancelled.append((reason, texts))
