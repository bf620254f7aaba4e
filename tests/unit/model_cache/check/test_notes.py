"""Notes on names in a shared cache that lead to something else than the catalog's model."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from model_cache.catalog.catalog import Model, Task
from model_cache.check.notes import collect_notes
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


def test_a_cache_without_names_of_others_has_no_notes(places: Places) -> None:
    assert (places.spacy.path / "de_test").is_symlink(), "our own name"
    assert collect_notes(MODELS, places, {}) == ()


def test_a_reference_to_the_catalogs_commit_has_no_note(places: Places) -> None:
    reference(places).write_text(SENTIMENT.revision)
    assert collect_notes(MODELS, places, {}) == ()


def test_a_reference_with_a_line_break_has_a_note(
    places: Places,
) -> None:
    reference(places).write_text(SENTIMENT.revision + "\n")
    (note,) = collect_notes(MODELS, places, {})
    assert f"{reference(places)} has more than the commit in it" in note
    assert "cache-warmer repair" in note


def test_the_note_on_another_commit_names_the_revision_to_give(places: Places) -> None:
    reference(places).write_text("f" * 40)
    (note,) = collect_notes(MODELS, places, {})
    assert str(reference(places)) in note
    assert f'revision="{SENTIMENT.revision}"' in note


def test_a_package_of_the_same_name_has_a_note(places: Places) -> None:
    name = places.spacy.path / "de_test"
    name.unlink()
    name.mkdir()
    (name / "meta.json").write_text('{"version": "2.0"}')
    (note,) = collect_notes(MODELS, places, {})
    assert f"{name} is not ours" in note


def test_another_home_of_sentence_transformers_has_a_note_on_a_host(tmp_path: Path) -> None:
    host = resolve_places("host", {}, tmp_path)
    embedding = Model("vectors", Task.EMBEDDING, SENTIMENT.source)
    environ = {"SENTENCE_TRANSFORMERS_HOME": "/elsewhere"}
    (note,) = collect_notes([embedding], host, environ)
    assert "/elsewhere" in note
    assert collect_notes([embedding], host, {}) == collect_notes([SENTIMENT], host, environ) == ()


def test_an_ignored_variable_has_a_note_that_names_the_doctor_on_a_host(tmp_path: Path) -> None:
    host = resolve_places("host", {}, tmp_path)
    environ = {"TRANSFORMERS_CACHE": "/old", "PYTORCH_TRANSFORMERS_CACHE": str(host.hub.path)}
    (note,) = collect_notes([SENTIMENT], host, environ)
    assert note.startswith("TRANSFORMERS_CACHE: set, and ignored")
    assert "`cache-warmer doctor`" in note
    assert collect_notes([SENTIMENT], resolve_places(str(tmp_path), {}, tmp_path), environ) == ()


@pytest.mark.parametrize(
    "content",
    ["", "no commit", "\n", "\x00", "f" * 39, "F" * 40, "f" * 40 + "\n", "ref: refs/heads/main", "ü" * 5000],
)
def test_a_reference_that_names_no_commit_has_a_note(places: Places, content: str) -> None:
    reference(places).write_text(content)
    (note,) = collect_notes(MODELS, places, {})
    assert "cache-warmer repair" in note
    assert "offline calls" in note


@pytest.mark.parametrize(
    "kind", [getattr(os, "mkfifo", Path.mkdir), Path.mkdir, lambda path: path.symlink_to("nowhere")]
)
def test_a_reference_that_is_no_file_has_a_note(places: Places, kind: Callable[[Path], None]) -> None:
    kind(reference(places))
    (note,) = collect_notes(MODELS, places, {})
    assert f"{reference(places)} names no commit" in note


def test_a_reference_to_a_commit_that_is_not_there_has_a_note(places: Places) -> None:
    reference(places).write_text("f" * 40)
    (note,) = collect_notes(MODELS, places, {})
    assert "of which there is no file here" in note
    (places.hub.path / repository_folder("org/mood") / "snapshots" / ("f" * 40)).mkdir()
    (note,) = collect_notes(MODELS, places, {})
    assert "load that commit" in note


def test_what_cannot_be_examined_has_no_note(places: Places) -> None:
    name = places.spacy.path / "de_test"
    name.unlink()
    name.symlink_to("de_test")
    assert collect_notes(MODELS, places, {}) == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "exists", refuse)
        assert collect_notes(MODELS, places, {}) == ()


def refuse(path: Path) -> bool:
    raise PermissionError(13, "Permission denied", str(path))
