"""Selection and defaults of a catalog's models."""

from typing import Final

import pytest

from model_cache.catalog.catalog import Catalog, Serving, SpacySource, Task
from model_cache.catalog.parse import load_catalog, parse_catalog
from model_cache.errors import UsageError
from tests.support.catalog_texts import ENTITIES, SENTIMENT, catalog

SECOND: Final = SENTIMENT.replace("key: mood", "key: other")


def read(*models: str) -> Catalog:
    return parse_catalog(catalog(*models), "c.yaml")


def test_a_model_is_found_by_its_key() -> None:
    assert read(SENTIMENT, ENTITIES).model("names").source_name == "de_test"


def test_an_unknown_key_is_a_usage_error_with_a_guess_and_all_keys() -> None:
    with pytest.raises(UsageError, match=r'no model "naems" in c\.yaml; did you mean "names"') as caught:
        read(SENTIMENT, ENTITIES).model("naems")
    assert "mood, names" in caught.value.remedy


def test_selected_models_appear_once_and_in_catalog_order() -> None:
    selected = read(SENTIMENT, ENTITIES, SECOND).select(["other", "mood", "other"])
    assert [model.key for model in selected] == ["mood", "other"]


def test_the_default_of_a_task_is_the_marked_model_or_the_first() -> None:
    marked = SECOND + "    serving: {default: true}\n"
    first, second = read(SENTIMENT, SECOND), read(SENTIMENT, marked)
    assert [c.default_for(Task.SENTIMENT) for c in (first, second)] == [first.models[0], second.models[1]]
    assert first.default_for(Task.EMBEDDING) is None


def test_a_package_has_its_version_as_revision_and_a_wheel_name() -> None:
    model = read(ENTITIES).model("names")
    assert model.revision == "3.8.0"
    assert isinstance(model.source, SpacySource)
    assert model.source.wheel_name == "de_test-3.8.0-py3-none-any.whl"


def test_models_are_hashable() -> None:
    assert len({*read(SENTIMENT, ENTITIES).models, *read(SENTIMENT).models}) == 2


def test_serving_defaults_are_those_of_the_plain_library() -> None:
    assert read(SENTIMENT).models[0].serving == Serving()
    assert load_catalog(None).model("multilingual-embedding").serving.precision == "fp32"
