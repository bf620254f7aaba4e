"""Prometheus metrics of the result cache, computed at each scrape in the threads of the metrics server."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from qda_worker.scheduling.result_cache import ResultCache


class ResultCacheMetrics(Collector):
    """How much the result cache holds, and how often it was of use. A worker without one has none of these metrics."""

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    def collect(self) -> Iterator[Metric]:
        """Yield the current values."""
        cache = self._cache
        hits = CounterMetricFamily(
            "qda_result_cache_hits", "Texts that were answered from the result cache.", labels=["model"]
        )
        misses = CounterMetricFamily(
            "qda_result_cache_misses", "Texts that were not in the result cache.", labels=["model"]
        )
        for model, use in dict(cache.use).items():
            hits.add_metric([model], use.hits)
            misses.add_metric([model], use.misses)
        yield hits
        yield misses
        yield CounterMetricFamily(
            "qda_result_cache_evictions", "Results that made room for others.", value=cache.evictions
        )
        yield GaugeMetricFamily("qda_result_cache_entries", "Results in the result cache.", value=len(cache))
        yield GaugeMetricFamily("qda_result_cache_bytes", "Memory of these results.", value=cache.bytes)
        yield GaugeMetricFamily(
            "qda_result_cache_capacity_bytes", "Limit of this memory.", value=cache.capacity
        )
