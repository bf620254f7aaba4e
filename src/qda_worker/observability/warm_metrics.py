"""How far the warm is that fills this worker's cache, for Prometheus: its status file, read at each scrape.

The warmer itself cannot be scraped: its pod ends with its work. A worker that waits for it tells instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from model_cache.places import Places
from model_cache.reasons import Reason
from model_cache.warm_status import Phase, WarmStatus, read_status


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
