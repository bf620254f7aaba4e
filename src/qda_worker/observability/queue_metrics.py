"""Metrics of the queues: how long texts wait, how well batches are filled, and what became of each text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from qda_worker.observability.call_metrics import SECONDS
from qda_worker.scheduling.observing import Observer

_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS: Final = (16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_SHARES: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)


class QueueMetrics:
    """The metrics; `of` gives each model's queue who counts for it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, help, ["model"], buckets=buckets, registry=registry)

        self._queue = histogram(
            "qda_queue_seconds", "From a text's arrival to its first batch, less its tokenising.", SECONDS
        )
        self._compute = histogram("qda_compute_seconds", "Of each batch.", SECONDS)
        self._items = histogram("qda_batch_items", "Units (texts, or windows of texts) in a batch.", _ITEMS)
        self._tokens = histogram(
            "qda_batch_tokens",
            "In a batch, without padding; characters where the model counts those.",
            _TOKENS,
        )
        self._padding = histogram(
            "qda_batch_padding_ratio", "Share of a batch's computed cells that is padding.", _SHARES
        )
        self._texts = Counter(
            "qda_texts",
            "Texts that were answered (OK), or have an error of their own.",
            ["model", "reason"],
            registry=registry,
        )
        self._cut = Counter(
            "qda_texts_truncated",
            "Texts that were answered from their beginning only.",
            ["model"],
            registry=registry,
        )
        self._refused = Counter(
            "qda_texts_refused",
            "Texts whose whole call was turned away.",
            ["model", "reason"],
            registry=registry,
        )
        self._cancelled = Counter(
            "qda_texts_cancelled",
            "Texts for which nobody waited any more.",
            ["model", "reason"],
            registry=registry,
        )

    def of(self, model: str) -> Observer:
        """Who counts for this model's queue; its series exist from now on, at 0."""
        return _ModelMetrics(
            histograms={
                "queue": self._queue.labels(model),
                "compute": self._compute.labels(model),
                "items": self._items.labels(model),
                "tokens": self._tokens.labels(model),
                "padding": self._padding.labels(model),
            },
            cut=self._cut.labels(model),
            cancelled=self._cancelled,
            texts=self._texts,
            refused=self._refused,
            model=model,
        )


class _ModelMetrics:
    def __init__(
        self,
        *,
        histograms: Mapping[str, Histogram],
        cut: Counter,
        cancelled: Counter,
        texts: Counter,
        refused: Counter,
        model: str,
    ) -> None:
        self._histograms = histograms
        self._cut = cut
        self._cancelled = cancelled
        self._texts = texts
        self._refused = refused
        self._model = model

    def on_batch(self, units: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A batch was computed."""
        self._histograms["compute"].observe(seconds)
        self._histograms["items"].observe(units)
        self._histograms["tokens"].observe(tokens)
        if padded_tokens:
            self._histograms["padding"].observe(1 - tokens / padded_tokens)

    def on_queue_seconds(self, seconds: float) -> None:
        """A text has waited so long."""
        self._histograms["queue"].observe(seconds)

    def on_outcome(self, reason: str, *, cut: bool) -> None:
        """A text has its outcome."""
        self._texts.labels(self._model, reason).inc()
        if cut:
            self._cut.inc()

    def on_refused(self, reason: str, texts: int) -> None:
        """A call was turned away."""
        self._refused.labels(self._model, reason).inc(texts)

    def on_cancelled(self, reason: str, texts: int) -> None:
        """Nobody waits any more."""
        self._cancelled.labels(self._model, reason).inc(texts)
