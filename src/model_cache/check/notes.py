"""What is no fault of the cache and yet surprises: names that lead other projects to something else.

A cache on a host is shared. Another project may have pointed `refs/main` at a commit of its own, or have put a
spaCy package of the same name beside ours: both stay as they are, and the check says what follows from it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, Task
from model_cache.layout import model_path, repository_folder, spacy_tree
from model_cache.places import HOST, Places

_SENTENCE_TRANSFORMERS: Final = frozenset({Task.EMBEDDING, Task.PARAPHRASE})


def notes(models: Sequence[Model], places: Places, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each name that does not lead to the catalog's model. Reads only; never raises."""
    said = [_note(model, places) for model in models]
    return tuple(note for note in [*said, _other_home(models, places, environ)] if note)


def _note(model: Model, places: Places) -> str:
    if isinstance(model.source, HuggingFaceSource):
        return _reference(model.source, places)
    return _package(model, model.source, places)


def _reference(source: HuggingFaceSource, places: Places) -> str:
    path = places.hub.path / repository_folder(source.repository) / "refs" / "main"
    try:
        content = path.read_text("utf-8", "replace")
    except OSError:
        return ""
    named = content.strip()[:40]
    if content == source.revision:
        return ""
    if named == source.revision:
        return (
            f'{path} has more than the commit in it, such as a line break: offline calls of "{source.repository}" '
            "without a revision fail. `cache-warmer repair` puts it right if it is ours"
        )
    whose = " It is not ours, so it is never moved." if places.label == HOST else ""
    return (
        f'{path} names {named}: calls of "{source.repository}" without a revision load that commit, not the catalog\'s.'
        f'{whose} With revision="{source.revision}" they load the catalog\'s, as the worker does'
    )


def _package(model: Model, source: SpacySource, places: Places) -> str:
    name = places.spacy.path / source.package
    ours = places.spacy.path / spacy_tree(source) / source.package
    if not name.exists() or not ours.exists() or _same(name, ours):
        return ""
    return (
        f'{name} is not ours and stays as it is: where {places.spacy.path} is on the path, spacy.load("'
        f'{source.package}") takes that one. The catalog\'s: spacy.load("{model_path(places, model)}")'
    )


def _same(name: Path, ours: Path) -> bool:
    if name.resolve() == ours.resolve():
        return True
    try:  # a copy where there are no links, or a package that somebody installed and we took over
        return (name / "meta.json").read_bytes() == (ours / "meta.json").read_bytes()
    except OSError:
        return False


def _other_home(models: Sequence[Model], places: Places, environ: Mapping[str, str]) -> str:
    home = environ.get("SENTENCE_TRANSFORMERS_HOME", "")
    concerned = places.label == HOST and any(model.task in _SENTENCE_TRANSFORMERS for model in models)
    if not home or not concerned or Path(home) == places.hub.path:
        return ""
    return (
        f"SENTENCE_TRANSFORMERS_HOME is {home}: sentence-transformers looks there instead of {places.hub.path}. "
        "Unset it, and it finds these models"
    )
