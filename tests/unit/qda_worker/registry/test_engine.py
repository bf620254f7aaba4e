"""What computes a model, as the log and the metrics tell it."""

from types import SimpleNamespace
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Task
from qda_worker.models.base import EngineTiming, InstalledEngines
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.observability.cache_metrics import CacheMetrics
from qda_worker.registry.engine import Engine
from qda_worker.registry.registry import ModelRegistry

MEASURED: Final = InstalledEngines(
    names=("openvino", "torch"),
    timings=(EngineTiming("torch", 1, 32, 0.11), EngineTiming("openvino", 1, 32, 0.05432)),
    batch_tokens=2048,
)


def engine(engines: InstalledEngines | None) -> Engine:
    model: Any = SimpleNamespace(info=SimpleNamespace(engines=engines), budget=BatchBudget(2048, 128))
    queue: Any = SimpleNamespace(waiting=0)
    return Engine(model, queue)


def test_the_log_has_the_engines_with_what_was_measured() -> None:
    assert engine(MEASURED).log_fields == {
        "engines": ["openvino", "torch"],
        "measured_ms": {"torch 1x32": 110.0, "openvino 1x32": 54.3},
        "batch_tokens": 2048,
    }


def test_the_log_says_why_an_engine_was_left_out() -> None:
    left_out = InstalledEngines(unavailable="openvino: the package openvino is not installed")

    assert engine(left_out).log_fields["unavailable"] == "openvino: the package openvino is not installed"


def test_a_model_without_engines_has_no_such_fields() -> None:
    assert engine(None).log_fields == {}


def test_a_scrape_has_the_engines_with_what_was_measured() -> None:
    models = tuple(
        Model(key, Task.SENTIMENT, HuggingFaceSource("o/r", "0" * 40, ("*",))) for key in ("mood", "ner")
    )
    registry = ModelRegistry(Catalog(models, ""), models)
    registry.models["mood"].engine = engine(MEASURED)
    registry.models["ner"].engine = engine(None)
    metrics = CollectorRegistry()
    metrics.register(CacheMetrics(registry))

    lines = generate_latest(metrics).decode().splitlines()

    for line in (
        'qda_model_engine{engine="openvino",model="mood",shape="single"} 1.0',
        'qda_model_engine{engine="torch",model="mood",shape="batch"} 1.0',
        'qda_engine_measured_seconds{engine="openvino",model="mood",texts="1",tokens="32"} 0.05432',
        'qda_batch_tokens_limit{model="mood"} 2048.0',
    ):
        assert line in lines
    assert not [line for line in lines if "engine" in line and 'model="ner"' in line]
