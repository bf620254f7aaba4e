"""What a worker does and why it is not ready, in words."""

from pathlib import Path

import pytest

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Task
from model_cache.check.types import CheckReport, Problem, Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from qda_worker.registry.readiness import current_activity, unready_reason
from qda_worker.registry.registry import ModelProblem, ModelRegistry, ModelState


@pytest.fixture
def registry() -> ModelRegistry:
    models = tuple(
        Model(key, Task.SENTIMENT, HuggingFaceSource("o/r", "0" * 40, ("*",))) for key in ("a", "b")
    )
    return ModelRegistry(Catalog(models, "catalog.yaml"), models)


def report(*problems: Problem) -> CheckReport:
    reason = problems[0].reason if problems else Reason.OK
    places = resolve_places("/cache", {}, Path("/home"))
    return CheckReport(reason, "g", "/cache", Tier.FAST, 0, 0, 0.0, (), problems, places)


def test_the_reason_is_that_of_the_cache_then_of_a_model(registry: ModelRegistry) -> None:
    assert unready_reason(registry) == "the cache is being checked"

    registry.report = report(
        Problem("/cache/f", Reason.CACHE_INCOMPLETE, "is missing", "wait: a warm is running")
    )
    assert (
        unready_reason(registry) == "CACHE_INCOMPLETE: /cache/f: is missing. Remedy: wait: a warm is running"
    )

    registry.report = report()
    assert unready_reason(registry).endswith("started again: a, b")

    registry.models["b"].problem = ModelProblem(Reason.MODEL_UNUSABLE, "it died", "none needed")
    assert "MODEL_UNUSABLE: it died" in unready_reason(registry)


def test_the_activity_names_the_models_that_are_loaded(registry: ModelRegistry) -> None:
    assert current_activity(registry) == "waiting for its cache"
    registry.models["a"].state = ModelState.LOADING
    assert current_activity(registry) == "loading a"
    for served in registry.models.values():
        served.state = ModelState.SERVING
    assert current_activity(registry) == "serving"
