"""Which model answers a request, and what is said where none does."""

from typing import Any, Final

import pytest

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Serving, Task
from model_cache.reasons import Reason
from qda_worker.errors import ModelUnknown, ModelWrongTask, NotReady, TaskNotServed
from qda_worker.registry.registry import Engine, ModelProblem, ModelRegistry, State
from qda_worker.services import ANALYSIS, EMBEDDING, ENTITIES, MODELS, PARAPHRASE, SENTIMENT, serving_status


def model(key: str, task: Task, *, default: bool = False) -> Model:
    source = HuggingFaceSource(f"org/{key}", "0" * 40, ("*",))
    return Model(key, task, source, Serving(default=default))


MODELS_OF_ALL: Final = (
    model("mood", Task.SENTIMENT),
    model("mood-2", Task.SENTIMENT, default=True),
    model("names", Task.ENTITIES),
    model("vectors", Task.EMBEDDING),
    model("pairs", Task.PARAPHRASE),
)


def fleet(*served: str, state: State = State.SERVING) -> ModelRegistry:
    catalog = Catalog(MODELS_OF_ALL, "catalog.yaml")
    made = ModelRegistry(catalog, catalog.select(served) if served else catalog.models)
    for member in made.members.values():
        member.state = state
        member.engine = Engine(model=Any, queue=Any)  # type: ignore[arg-type]  # nobody asks it here
    return made


def chosen(made: ModelRegistry, key: str, task: Task) -> str:
    serving = made.choose(key, task)
    return next(name for name, member in made.members.items() if member.engine is serving.engine)


def test_a_request_without_a_model_gets_the_catalogs_default() -> None:
    assert chosen(fleet(), "", Task.SENTIMENT) == "mood-2"
    assert chosen(fleet(), "", Task.EMBEDDING) == "vectors"
    assert chosen(fleet(), "", Task.PARAPHRASE) == "pairs"


def test_vectors_come_from_embedding_and_paraphrase_models_alike() -> None:
    assert chosen(fleet(), "pairs", Task.EMBEDDING) == "pairs"
    assert chosen(fleet(), "vectors", Task.PARAPHRASE) == "vectors"


def test_an_unknown_model_is_refused_with_the_nearest_and_all_that_can_do_it() -> None:
    with pytest.raises(ModelUnknown, match='did you mean "names"') as caught:
        fleet().choose("nmaes", Task.ENTITIES)
    assert caught.value.remedy.endswith("names")


def test_a_model_of_another_task_is_refused_with_those_that_can_do_it() -> None:
    with pytest.raises(ModelWrongTask) as caught:
        fleet().choose("names", Task.SENTIMENT)
    assert "mood, mood-2" in caught.value.remedy


def test_a_worker_of_some_models_never_answers_with_another_than_the_default() -> None:
    some = fleet("mood", "pairs")
    with pytest.raises(TaskNotServed, match='"mood-2", is not served here') as caught:
        some.choose("", Task.SENTIMENT)
    assert "mood" in caught.value.remedy
    assert chosen(some, "mood", Task.SENTIMENT) == "mood"
    with pytest.raises(TaskNotServed):
        some.choose("", Task.ENTITIES)
    with pytest.raises(TaskNotServed):
        some.choose("names", Task.ENTITIES)


def test_before_it_is_loaded_a_model_is_not_ready_and_says_why() -> None:
    waiting = fleet(state=State.FAILED)
    waiting.members["names"].trouble = ModelProblem(Reason.MODEL_UNUSABLE, "the file is cut", "repair it")
    with pytest.raises(NotReady, match="MODEL_UNUSABLE: the file is cut"):
        waiting.choose("", Task.ENTITIES)
    with pytest.raises(NotReady, match="being loaded"):
        fleet(state=State.LOADING).choose("", Task.ENTITIES)


def test_without_a_catalog_nothing_is_ready_and_the_mistake_is_told() -> None:
    broken = ModelRegistry.without_catalog(ModelProblem(Reason.CATALOG_INVALID, "line 3", "correct it"))
    with pytest.raises(NotReady, match="CATALOG_INVALID: line 3"):
        broken.choose("", Task.SENTIMENT)
    assert not broken.loaded


def test_each_services_health_follows_its_own_models() -> None:
    some = fleet()
    some.members["mood"].state = State.FAILED
    shown = serving_status(some, ready=some.loaded)
    assert shown == {
        "": False,
        SENTIMENT: False,
        ENTITIES: True,
        EMBEDDING: True,
        PARAPHRASE: True,
        MODELS: True,
        ANALYSIS: False,
    }


def test_a_worker_of_paraphrases_alone_serves_vectors_and_no_sentiment() -> None:
    some = fleet("pairs")
    shown = serving_status(some, ready=some.loaded)
    assert {name for name, serves in shown.items() if serves} == {"", ANALYSIS, EMBEDDING, PARAPHRASE, MODELS}
