"""Names of models in requests: keys, repositories, prompts, and what is refused."""

from typing import Final

import pytest

from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, Serving, SpacySource, Task
from qda_worker.errors import ArgumentInvalid, ModelUnknown, ModelWrongTask
from qda_worker.http.openai.model_names import embedding_models, find_model, split_model


def model(key: str, task: Task, repository: str, *, default: bool = False) -> Model:
    return Model(key, task, HuggingFaceSource(repository, "0" * 40, ("*",)), Serving(default=default))


CATALOG: Final = Catalog(
    (
        model("mood", Task.SENTIMENT, "org/mood-bert"),
        model("pairs", Task.PARAPHRASE, "sentence-transformers/MPNet"),
        model("vectors", Task.EMBEDDING, "BAAI/bge-m3"),
        model("e5", Task.EMBEDDING, "intfloat/multilingual-e5-base", default=True),
        model("e5-int8", Task.EMBEDDING, "intfloat/multilingual-e5-base"),
        model("small-1", Task.EMBEDDING, "one/small"),
        model("small-2", Task.EMBEDDING, "two/small"),
        # Its key is the short name of another model's repository.
        model("mpnet", Task.EMBEDDING, "three/other"),
    ),
    "catalog.yaml",
)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("vectors", "vectors"),
        ("BAAI/bge-m3", "vectors"),
        ("baai/BGE-M3", "vectors"),
        ("bge-m3", "vectors"),
        ("pairs", "pairs"),
        ("mpnet", "mpnet"),
        ("sentence-transformers/mpnet", "pairs"),
        ("intfloat/multilingual-e5-base", "e5"),
        ("multilingual-e5-base", "e5"),
        ("e5-int8", "e5-int8"),
    ],
)
def test_a_model_is_found_by_key_repository_and_short_name(name: str, key: str) -> None:
    assert find_model(CATALOG, name).key == key


def test_a_name_of_several_models_is_refused_with_their_keys() -> None:
    with pytest.raises(ModelUnknown, match="names several models") as caught:
        find_model(CATALOG, "small")
    assert "small-1, small-2" in caught.value.remedy


@pytest.mark.parametrize("name", ["text-embedding-3-small", "BAAI/", "/", "bge", "bge-m3\n"])
def test_an_unknown_name_is_refused_with_the_models_that_embed(name: str) -> None:
    with pytest.raises(ModelUnknown) as caught:
        find_model(CATALOG, name)
    assert "vectors" in caught.value.remedy
    assert "mood" not in caught.value.remedy
    assert "\n" not in str(caught.value)
    assert [each.field for each in caught.value.violations] == ["model"]


def test_a_similar_name_is_suggested() -> None:
    with pytest.raises(ModelUnknown, match='did you mean "BAAI/bge-m3"'):
        find_model(CATALOG, "BAAI/bge-m2")


def test_a_model_of_another_task_is_refused() -> None:
    with pytest.raises(ModelWrongTask, match="sentiment") as caught:
        find_model(CATALOG, "org/mood-bert")
    assert "vectors" in caught.value.remedy


def test_a_spacy_package_is_no_embedding_model() -> None:
    source = SpacySource("de_core_news_lg", "3.8.0", "https://x.test/w.whl", "ab" * 32)
    with pytest.raises(ModelWrongTask):
        find_model(Catalog((Model("names", Task.ENTITIES, source),), "c.yaml"), "de_core_news_lg")


def test_the_default_is_the_first_of_the_models_that_embed() -> None:
    keys = [each.key for each in embedding_models(CATALOG)]
    assert keys[0] == "e5"
    assert keys[-1] == "pairs"
    assert "mood" not in keys
    assert embedding_models(Catalog((), "c.yaml")) == []


@pytest.mark.parametrize(
    ("name", "prompt", "expected"),
    [
        ("e5", "", ("e5", "")),
        ("e5", "query", ("e5", "query")),
        ("e5:query", "", ("e5", "query")),
        ("e5:query", "query", ("e5", "query")),
        ("intfloat/e5:passage", "", ("intfloat/e5", "passage")),
        ("e5:", "", ("e5", "")),
    ],
)
def test_a_prompt_is_named_by_the_model_or_by_its_field(
    name: str, prompt: str, expected: tuple[str, str]
) -> None:
    assert split_model(name, prompt) == expected


def test_two_different_prompts_are_refused() -> None:
    with pytest.raises(ArgumentInvalid, match="different prompts"):
        split_model("e5:query", "passage")
