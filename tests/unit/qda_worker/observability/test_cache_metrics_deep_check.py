"""A scrape contains the result of the last deep check, and nothing where there was none."""

from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Task
from model_cache.check.deep_check_record import DeepCheck, DeepCheckRecord, Finding
from model_cache.places import PlaceName
from model_cache.reasons import Reason
from qda_worker.observability.cache_metrics import CacheMetrics
from qda_worker.registry.registry import ModelRegistry

MODELS: Final = (Model("one", Task.SENTIMENT, HuggingFaceSource("o/r", "0" * 40, ("*",))),)
RECORD: Final = DeepCheckRecord("g", "2026-01-02T03:04:05Z", "pod x", 1.5, 7, 2)
BAD: Final = Finding("one", PlaceName.HUB, "weights", Reason.CACHE_CORRUPT, "is bad", 1)


def scrape(deep_check: DeepCheck | None, *, damaged: bool = False) -> set[str]:
    registry = ModelRegistry(Catalog(MODELS, "catalog.yaml"), MODELS)
    registry.deep_check = deep_check
    registry.models["one"].damaged = damaged
    collector = CollectorRegistry()
    collector.register(CacheMetrics(registry))
    lines = generate_latest(collector).decode().splitlines()
    return {line for line in lines if line.startswith(("qda_cache_deep_check", "qda_cache_model_damaged"))}


def test_without_a_deep_check_there_are_no_metrics_of_one() -> None:
    assert scrape(None) == {'qda_cache_model_damaged{model="one"} 0.0'}


def test_time_duration_result_and_bad_files_are_exported() -> None:
    strange = BAD._replace(model="not in the catalog")
    found = DeepCheck(RECORD._replace(bad_files=3, findings=(BAD, BAD, strange)), 3, (BAD, BAD, strange))
    assert scrape(found, damaged=True) == {
        "qda_cache_deep_check_timestamp_seconds 1.767323045e+09",
        "qda_cache_deep_check_duration_seconds 1.5",
        "qda_cache_deep_check_files 7.0",
        "qda_cache_deep_check_mended_files 0.0",
        'qda_cache_deep_check_result{reason="CACHE_CORRUPT"} 1.0',
        'qda_cache_deep_check_bad_files{model="one",reason="CACHE_CORRUPT"} 2.0',
        'qda_cache_model_damaged{model="one"} 1.0',
    }


def test_what_was_mended_is_no_bad_file() -> None:
    lines = scrape(DeepCheck(RECORD._replace(mended_files=2, mended=(BAD, BAD)), 0, ()))
    assert "qda_cache_deep_check_mended_files 2.0" in lines
    assert 'qda_cache_deep_check_result{reason="OK"} 1.0' in lines
    assert not [line for line in lines if "bad_files{" in line]
