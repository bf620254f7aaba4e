"""The metrics of the result cache."""

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from qda_worker.models.base import Options, Usage
from qda_worker.observability.result_cache_metrics import ResultCacheMetrics
from qda_worker.scheduling.jobs import Outcome, Success, Timings
from qda_worker.scheduling.result_cache import ResultCache


async def compute(texts: Sequence[str], _prepared: object) -> list[Outcome[Any]]:
    return [Success(text, Usage(1, 1, cut=False, window_count=1), Timings()) for text in texts]


async def test_hits_and_memory_are_exported() -> None:
    cache, registry = ResultCache(2000), CollectorRegistry()
    registry.register(ResultCacheMetrics(cache))
    results = cache.open("echo")
    for texts in (["a", "b"], ["b"], ["c", "d"]):
        await results.answer(texts, Options(), (), compute)
    lines = generate_latest(registry).decode().splitlines()
    assert 'qda_result_cache_hits_total{model="echo"} 1.0' in lines
    assert 'qda_result_cache_misses_total{model="echo"} 4.0' in lines
    assert "qda_result_cache_evictions_total 1.0" in lines
    assert "qda_result_cache_entries 3.0" in lines
    assert f"qda_result_cache_bytes {float(cache.bytes)}" in lines
    assert "qda_result_cache_capacity_bytes 2000.0" in lines
