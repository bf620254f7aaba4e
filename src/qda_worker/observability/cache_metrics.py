"""The state of cache and models for Prometheus, read from the fleet at each scrape: nothing is kept up to date twice.

Read by the HTTP server's threads: plain attributes that the event loop replaces whole.

How far the warm is that fills this worker's cache, for Prometheus: its status file, read at each scrape.

The warmer itself cannot be scraped: its pod ends with its work. A worker that waits for it tells instead.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from model_cache.places import Places
from model_cache.reasons import Reason
from model_cache.warm_status import Phase, WarmStatus, read_status
from qda_worker.registry.registry import ModelRegistry, ModelState
from qda_worker.version import worker_version


class CacheMetrics(Collector):
    """What the last look at the cache found, and which models serve."""

    def __init__(self, fleet: ModelRegistry) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """The gauges of this moment."""
        fleet = self._fleet
        yield InfoMetricFamily(
            "qda_worker_build",
            "The worker's version.",
            {"version": worker_version(), "generation": fleet.generation},
        )
        complete = GaugeMetricFamily(
            "qda_cache_complete", "1 if the last check found the cache complete, else 0."
        )
        complete.add_metric([], float(fleet.cache_complete))
        yield complete
        checked = GaugeMetricFamily(
            "qda_cache_last_check_timestamp_seconds", "When the cache was last checked."
        )
        if fleet.checked_at is not None:
            checked.add_metric([], fleet.checked_at)
        yield checked
        yield self._problems()
        restart = _by_model(
            "qda_cache_restart_needed", "1 if a file of the model was replaced since it was loaded."
        )
        loaded = _by_model("qda_model_loaded", "1 if the model has loaded and answers, else 0.")
        seconds = _by_model("qda_model_load_seconds", "How long the model's last load took.")
        waiting = _by_model("qda_queue_texts", "Texts that were taken in and have no outcome yet.")
        for key, member in fleet.models.items():
            restart.add_metric([key], float(member.files_replaced))
            loaded.add_metric([key], float(member.state is ModelState.SERVING))
            if member.load_seconds is not None:
                seconds.add_metric([key], member.load_seconds)
            engine = member.engine
            waiting.add_metric([key], float(engine.queue.waiting if engine is not None else 0))
        yield from (restart, loaded, seconds, waiting)

    def _problems(self) -> GaugeMetricFamily:
        problems = GaugeMetricFamily(
            "qda_cache_problems",
            "Problems that the last check found; model is empty for the whole cache's.",
            labels=["model", "reason"],
        )
        if self._fleet.report is not None:
            counts = Counter(("", str(problem.reason)) for problem in self._fleet.report.problems)
            for model in self._fleet.report.models:
                counts.update((model.key, str(problem.reason)) for problem in model.problems)
            for labels, count in sorted(counts.items()):
                problems.add_metric(list(labels), float(count))
        return problems


def _by_model(name: str, help: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, labels=["model"])


class WarmMetrics(Collector):
    """What the last status of a warm says; nothing where there never was one. wall: seconds since 1970."""

    def __init__(self, places: Places, wall: Callable[[], float]) -> None:
        self._places, self._wall = places, wall

    def collect(self) -> Iterator[Metric]:
        """The gauges of this moment."""
        status = read_status(self._places)
        if status is None:
            return
        now = datetime.fromtimestamp(self._wall(), UTC)
        for name, said, value in _gauges(status, now):
            gauge = GaugeMetricFamily(f"qda_cache_warm_{name}", said)
            gauge.add_metric([], value)
            yield gauge
        if status.phase is Phase.ENDED and status.reason in list(Reason):
            ended = GaugeMetricFamily(
                "qda_cache_warm_ended", "1 for the reason with which the last warm ended.", labels=["reason"]
            )
            ended.add_metric([status.reason], 1.0)
            yield ended


def _gauges(status: WarmStatus, now: datetime) -> Iterator[tuple[str, str, float]]:
    goes_on = status.goes_on(now)
    yield "running", "1 while a warmer fills the cache and gives signs of life, else 0.", float(goes_on)
    yield "done_bytes", "Bytes that the present or last warm has.", float(status.bytes_done)
    yield (
        "wanted_bytes",
        "Bytes that it wants, with those that were staged before.",
        float(status.bytes_total),
    )
    yield "done_files", "Files that it has.", float(status.files_done)
    yield "wanted_files", "Files that it wants.", float(status.files_total)
    speed = status.bytes_per_second if goes_on else None
    yield "bytes_per_second", "Its speed over the last seconds; 0: not known.", speed or 0.0
    yield "started_timestamp_seconds", "When it started.", status.started.timestamp()
    yield "updated_timestamp_seconds", "Its last sign of life.", status.updated.timestamp()
