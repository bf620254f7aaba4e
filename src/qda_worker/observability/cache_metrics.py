"""Prometheus metrics of the cache, the models and the warm, computed at each scrape.

`CacheMetrics` reads the model registry. `WarmMetrics` reads the status file that a warmer updates in the cache: the
warmer itself cannot be scraped, because its pod ends with its work, so the worker that waits for it exports its
progress. Nothing is stored here, so no value can be outdated.

Both run in the threads of the metrics server. They need no lock: the event loop replaces the attributes of the registry
as a whole, and the status file is replaced by rename.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from model_cache.places import Places
from model_cache.reasons import Reason
from model_cache.warm_status import Phase, WarmStatus, read_status
from qda_worker.registry.registry import ModelRegistry, ModelState
from qda_worker.version import worker_version

# Reasons whose series exist without a problem too, with the value 0.
_CACHE_REASONS: Final = (Reason.CACHE_INCOMPLETE, Reason.CACHE_CORRUPT)


class CacheMetrics(Collector):
    """What the last check of the cache found, and which models serve."""

    def __init__(self, registry: ModelRegistry, catalog_digest: str = "") -> None:
        """Read a registry.

        Args:
            registry: what the worker serves.
            catalog_digest: SHA-256 of the catalog's file; empty for the built-in catalog.
        """
        self._registry, self._catalog_digest = registry, catalog_digest

    def collect(self) -> Iterator[Metric]:
        """Yield the current values."""
        registry = self._registry
        yield InfoMetricFamily(
            "qda_worker_build",
            "The worker's version, the generation of its catalog, and the SHA-256 of the catalog's file.",
            {
                "version": worker_version(),
                "generation": registry.generation,
                "catalog": self._catalog_digest,
            },
        )
        complete = GaugeMetricFamily(
            "qda_cache_complete", "1 if the last check found the cache complete, else 0."
        )
        complete.add_metric([], float(registry.cache_complete))
        yield complete
        checked = GaugeMetricFamily(
            "qda_cache_last_check_timestamp_seconds", "When the cache was last checked."
        )
        if registry.checked_at is not None:
            checked.add_metric([], registry.checked_at)
        yield checked
        yield self._problems()
        yield from self._deep_check()
        yield from self._models()
        yield from self._engines()
        yield from self._kills()

    def _kills(self) -> Iterator[Metric]:
        kill = self._registry.kill
        yield CounterMetricFamily(
            "qda_worker_kills",
            "Runs of this pod that ended without a shutdown: killed, mostly for lack of memory, or crashed.",
            value=float(kill.total if kill is not None else 0),
        )
        if kill is not None:
            last = GaugeMetricFamily(
                "qda_worker_last_kill_timestamp_seconds",
                "When a run of this pod last ended without a shutdown.",
            )
            last.add_metric([], kill.time)
            yield last

    def _problems(self) -> GaugeMetricFamily:
        problems = GaugeMetricFamily(
            "qda_cache_problems",
            "Problems that the last check found; model is empty for problems of the whole cache.",
            labels=["model", "reason"],
        )
        if self._registry.report is not None:
            counts = Counter({("", str(reason)): 0 for reason in _CACHE_REASONS})
            counts.update(("", str(problem.reason)) for problem in self._registry.report.problems)
            for model in self._registry.report.models:
                counts.update((model.key, str(problem.reason)) for problem in model.problems)
            for labels, count in sorted(counts.items()):
                problems.add_metric(list(labels), float(count))
        return problems

    def _deep_check(self) -> Iterator[Metric]:
        """Yield the result of the last deep check; nothing if there is none."""
        deep_check = self._registry.deep_check
        if deep_check is None:
            return
        record = deep_check.record
        for name, documentation, value in (
            (
                "qda_cache_deep_check_timestamp_seconds",
                "When the last deep check of this generation ended.",
                deep_check.ended_seconds,
            ),
            ("qda_cache_deep_check_duration_seconds", "How long the last deep check took.", record.seconds),
            (
                "qda_cache_deep_check_files",
                "Files that the last deep check found intact.",
                float(record.files),
            ),
            (
                "qda_cache_deep_check_mended_files",
                "Bad files of the last deep check that were fetched again.",
                float(record.mended_files),
            ),
        ):
            gauge = GaugeMetricFamily(name, documentation)
            gauge.add_metric([], value)
            yield gauge
        result = GaugeMetricFamily(
            "qda_cache_deep_check_result", "1 for the result of the last deep check.", labels=["reason"]
        )
        result.add_metric([str(deep_check.reason)], 1.0)
        yield result
        bad = GaugeMetricFamily(
            "qda_cache_deep_check_bad_files",
            "Files that the last deep check found bad and that were not replaced since; model is empty for the whole "
            "cache.",
            labels=["model", "reason"],
        )
        # The record is not trusted: a label has only keys of the catalog.
        known = {"", *(model.key for model in self._registry.catalog.models)}
        counts = Counter(
            (finding.model, str(finding.reason)) for finding in deep_check.findings if finding.model in known
        )
        for labels, count in sorted(counts.items()):
            bad.add_metric(list(labels), float(count))
        yield bad

    def _models(self) -> tuple[GaugeMetricFamily, ...]:
        damaged = _model_gauge(
            "qda_cache_model_damaged", "1 if the model has loaded files in which a deep check found damage."
        )
        restart = _model_gauge(
            "qda_cache_restart_needed", "1 if a file of the model was replaced since it was loaded."
        )
        loaded = _model_gauge("qda_model_loaded", "1 if the model is loaded and answers, else 0.")
        seconds = _model_gauge("qda_model_load_seconds", "How long the last load of the model took.")
        waiting = _model_gauge("qda_queue_texts", "Texts that were accepted and have no outcome yet.")
        for key, served in self._registry.models.items():
            damaged.add_metric([key], float(served.damaged))
            restart.add_metric([key], float(served.files_replaced))
            loaded.add_metric([key], float(served.state is ModelState.SERVING))
            if served.load_seconds is not None:
                seconds.add_metric([key], served.load_seconds)
            engine = served.engine
            waiting.add_metric([key], float(engine.queue.waiting if engine is not None else 0))
        return (damaged, restart, loaded, seconds, waiting)

    def _engines(self) -> tuple[GaugeMetricFamily, ...]:
        chosen = GaugeMetricFamily(
            "qda_model_engine",
            "1 for what computes the model: for one short text (single), and for batches (batch).",
            labels=["model", "engine", "shape"],
        )
        measured = GaugeMetricFamily(
            "qda_engine_measured_seconds",
            "Least time of a pass through the encoder layers when the engine was measured at start.",
            labels=["model", "engine", "texts", "tokens"],
        )
        batch = _model_gauge(
            "qda_batch_tokens_limit",
            "Tokens to which batches are filled, with what padding costs.",
        )
        for key, served in self._registry.models.items():
            if served.engine is None or served.engine.info.engines is None:
                continue
            engines = served.engine.info.engines
            chosen.add_metric([key, engines.names[0], "single"], 1.0)
            chosen.add_metric([key, engines.names[-1], "batch"], 1.0)
            batch.add_metric([key], float(served.engine.model.budget.length))
            for one in engines.timings:
                measured.add_metric([key, one.engine, str(one.texts), str(one.tokens)], one.seconds)
        return (chosen, measured, batch)


class WarmMetrics(Collector):
    """The last status that a warm wrote to the cache; no metrics if there never was a warm."""

    def __init__(self, places: Places, wall_clock: Callable[[], float]) -> None:
        """Read the status of a cache.

        Args:
            places: where the cache is.
            wall_clock: the current time in seconds since 1970.
        """
        self._places, self._wall_clock = places, wall_clock

    def collect(self) -> Iterator[Metric]:
        """Yield the current values."""
        status = read_status(self._places)
        if status is None:
            return
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        for name, documentation, value in _warm_values(status, now):
            gauge = GaugeMetricFamily(f"qda_cache_warm_{name}", documentation)
            gauge.add_metric([], value)
            yield gauge
        reason = status.reason
        if status.phase is not Phase.ENDED:  # a warmer that was killed cannot say so
            reason = "" if status.is_running(now) else Reason.INTERRUPTED
        if reason in list(Reason):
            ended = GaugeMetricFamily(
                "qda_cache_warm_ended",
                "1 for the reason with which the last warm ended; INTERRUPTED if it stopped updating its status.",
                labels=["reason"],
            )
            ended.add_metric([reason], 1.0)
            yield ended


def _model_gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=["model"])


def _warm_values(status: WarmStatus, now: datetime) -> Iterator[tuple[str, str, float]]:
    """Yield name suffix, documentation and value of each gauge."""
    running = status.is_running(now)
    yield "running", "1 while a warmer fills the cache and updates its status, else 0.", float(running)
    yield "done_bytes", "Bytes that the current or last warm has fetched.", float(status.bytes_done)
    yield (
        "wanted_bytes",
        "Bytes that the warm has to fetch, with those that were staged before.",
        float(status.bytes_total),
    )
    yield "done_files", "Files that the warm has fetched.", float(status.files_done)
    yield "wanted_files", "Files that the warm has to fetch.", float(status.files_total)
    speed = status.bytes_per_second if running else None
    yield "bytes_per_second", "Speed of the warm over the last seconds; 0 if unknown.", speed or 0.0
    yield "started_timestamp_seconds", "When the warm started.", status.started.timestamp()
    yield "updated_timestamp_seconds", "When the warm last updated its status.", status.updated.timestamp()
