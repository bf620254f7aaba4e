"""Selection of the model for a request, and the error if there is none."""

from typing import Any, Final

import pytest

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Serving, Task
from model_cache.reasons import Reason
from qda_worker.errors import ModelUnknown, ModelWrongTask, NotReady, TaskNotServed
from qda_worker.registry.engine import Engine
from qda_worker.registry.registry import ModelProblem, ModelRegistry, ModelState
from qda_worker.services import (
    ANALYSIS,
    EMBEDDING,
    ENTITIES,
    MODELS,
    PARAPHRASE,
    SENTIMENT,
    SYNTAX,
    serving_status,
)


def model(key: str, task: Task, *, default: bool = False) -> Model:
    source = HuggingFaceSource(f"org/{key}", "0" * 40, ("*",))
    return Model(key, task, source, Serving(default=default))


ALL_MODELS: Final = (
    model("mood", Task.SENTIMENT),
    model("mood-2", Task.SENTIMENT, default=True),
    model("names", Task.ENTITIES),
    model("vectors", Task.EMBEDDING),
    model("pairs", Task.PARAPHRASE),
)


def registry_of(*keys: str, state: ModelState = ModelState.SERVING) -> ModelRegistry:
    catalog = Catalog(ALL_MODELS, "catalog.yaml")
    registry = ModelRegistry(catalog, catalog.select(keys) if keys else catalog.models)
    for served in registry.models.values():
        served.state = state
        served.engine = Engine(model=Any, queue=Any)  # type: ignore[arg-type]  # not used here
    return registry


def selected_key(registry: ModelRegistry, key: str, task: Task) -> str:
    selected = registry.select(key, task)
    return next(name for name, served in registry.models.items() if served.engine is selected.engine)


def test_a_request_without_a_model_gets_the_catalogs_default() -> None:
    assert selected_key(registry_of(), "", Task.SENTIMENT) == "mood-2"
    assert selected_key(registry_of(), "", Task.EMBEDDING) == "vectors"
    assert selected_key(registry_of(), "", Task.PARAPHRASE) == "pairs"


def test_vectors_come_from_embedding_and_paraphrase_models_alike() -> None:
    assert selected_key(registry_of(), "pairs", Task.EMBEDDING) == "pairs"
    assert selected_key(registry_of(), "vectors", Task.PARAPHRASE) == "vectors"


def test_an_unknown_model_is_refused_with_suggestions() -> None:
    with pytest.raises(ModelUnknown, match='did you mean "names"') as caught:
        registry_of().select("nmaes", Task.ENTITIES)
    assert caught.value.remedy.endswith("names")


def test_a_model_of_another_task_is_refused_with_the_capable_ones() -> None:
    with pytest.raises(ModelWrongTask) as caught:
        registry_of().select("names", Task.SENTIMENT)
    assert "mood, mood-2" in caught.value.remedy


def test_another_model_never_replaces_a_default_that_is_not_served() -> None:
    some = registry_of("mood", "pairs")
    with pytest.raises(TaskNotServed, match='"mood-2", is not served here') as caught:
        some.select("", Task.SENTIMENT)
    assert "mood" in caught.value.remedy
    assert selected_key(some, "mood", Task.SENTIMENT) == "mood"
    with pytest.raises(TaskNotServed):
        some.select("", Task.ENTITIES)
    with pytest.raises(TaskNotServed):
        some.select("names", Task.ENTITIES)


def test_a_model_that_is_not_loaded_is_not_ready_for_a_reason() -> None:
    waiting = registry_of(state=ModelState.FAILED)
    waiting.models["names"].problem = ModelProblem(Reason.MODEL_UNUSABLE, "the file is cut", "repair it")
    with pytest.raises(NotReady, match="MODEL_UNUSABLE: the file is cut"):
        waiting.select("", Task.ENTITIES)
    with pytest.raises(NotReady, match="being loaded"):
        registry_of(state=ModelState.LOADING).select("", Task.ENTITIES)


def test_a_model_for_entities_answers_for_syntax_unless_there_is_one_of_its_own() -> None:
    assert selected_key(registry_of(), "", Task.SYNTAX) == "names"
    assert selected_key(registry_of(), "names", Task.SYNTAX) == "names"
    with pytest.raises(ModelWrongTask):
        registry_of().select("mood", Task.SYNTAX)
    with pytest.raises(TaskNotServed, match='the default for syntax, "names", is not served here'):
        registry_of("mood").select("", Task.SYNTAX)
    models = (*ALL_MODELS, model("grammar", Task.SYNTAX))
    both = ModelRegistry(Catalog(models, "catalog.yaml"), models)
    for served in both.models.values():
        served.state = ModelState.SERVING
        served.engine = Engine(model=Any, queue=Any)  # type: ignore[arg-type]  # not used here
    assert selected_key(both, "", Task.SYNTAX) == "grammar"
    with pytest.raises(ModelWrongTask):
        both.select("grammar", Task.ENTITIES)


def test_without_a_catalog_nothing_is_ready_for_a_reason() -> None:
    broken = ModelRegistry.without_catalog(ModelProblem(Reason.CATALOG_INVALID, "line 3", "correct it"))
    with pytest.raises(NotReady, match="CATALOG_INVALID: line 3"):
        broken.select("", Task.SENTIMENT)
    assert not broken.all_serving


def test_the_health_of_each_service_follows_its_own_models() -> None:
    some = registry_of()
    some.models["mood"].state = ModelState.FAILED
    shown = serving_status(some, ready=some.all_serving)
    assert shown == {
        "": False,
        SENTIMENT: False,
        ENTITIES: True,
        EMBEDDING: True,
        PARAPHRASE: True,
        SYNTAX: True,
        MODELS: True,
        ANALYSIS: False,
    }


def test_a_worker_with_only_a_paraphrase_model_serves_vectors_too() -> None:
    some = registry_of("pairs")
    shown = serving_status(some, ready=some.all_serving)
    assert {name for name, serves in shown.items() if serves} == {"", ANALYSIS, EMBEDDING, PARAPHRASE, MODELS}
