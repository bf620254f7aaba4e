"""Notes: names in a cache that lead others elsewhere, and none where all is as expected."""

from pathlib import Path

import pytest

from model_cache.catalog.catalog import Model, Task
from model_cache.check.notes import notes
from model_cache.layout import repository_folder
from model_cache.places import Places, resolve_places
from tests.support.cache_trees import MODELS, SENTIMENT, build_cache


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return build_cache(tmp_path / "cache").places


def reference(places: Places) -> Path:
    path = places.hub.path / repository_folder("org/mood") / "refs/main"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_without_names_of_others_nothing_is_said(places: Places) -> None:
    assert (places.spacy.path / "de_test").is_symlink(), "our own name"
    assert notes(MODELS, places, {}) == ()


def test_a_reference_to_the_catalogs_commit_is_as_expected(places: Places) -> None:
    reference(places).write_text(SENTIMENT.revision)
    assert notes(MODELS, places, {}) == ()


def test_a_reference_with_a_line_break_is_told_because_the_hub_client_stumbles_over_it(
    places: Places,
) -> None:
    reference(places).write_text(SENTIMENT.revision + "\n")
    (note,) = notes(MODELS, places, {})
    assert f"{reference(places)} has more than the commit in it" in note
    assert "cache-warmer repair" in note


def test_a_reference_to_another_commit_is_named_with_the_revision_to_give(places: Places) -> None:
    reference(places).write_text("f" * 40)
    (note,) = notes(MODELS, places, {})
    assert str(reference(places)) in note
    assert f'revision="{SENTIMENT.revision}"' in note


def test_a_package_of_the_same_name_is_named_with_the_path_to_the_catalogs(places: Places) -> None:
    name = places.spacy.path / "de_test"
    name.unlink()
    name.mkdir()
    (name / "meta.json").write_text('{"version": "2.0"}')
    (note,) = notes(MODELS, places, {})
    assert f"{name} is not ours" in note


def test_a_second_home_of_sentence_transformers_is_told_on_a_host(tmp_path: Path) -> None:
    host = resolve_places("host", {}, tmp_path)
    embedding = Model("vectors", Task.EMBEDDING, SENTIMENT.source)
    environ = {"SENTENCE_TRANSFORMERS_HOME": "/elsewhere"}
    (note,) = notes([embedding], host, environ)
    assert "/elsewhere" in note
    assert notes([embedding], host, {}) == notes([SENTIMENT], host, environ) == ()
