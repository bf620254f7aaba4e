"""Notes of a check: names in a shared cache that lead other programs to something else than the catalog's model.

These are not problems of the cache. On a host, another project may have pointed `refs/main` at another commit, or have
put a spaCy package of the same name beside ours. Both stay as they are, and the note says what follows from it. A
`refs/main` that leads nowhere fails offline calls without a revision; whether it is ours, only the warmer knows, which
corrects it then.

A note never fails a check: what cannot be read has no note.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, Task
from model_cache.file_io import read_small_file
from model_cache.layout import model_path, repository_folder, spacy_package_folder
from model_cache.places import HOST, Places

_SENTENCE_TRANSFORMERS_TASKS: Final = frozenset({Task.EMBEDDING, Task.PARAPHRASE})
_COMMIT_CHARACTERS: Final = 40
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
# Variables that chose the folder of models until transformers 4, in the order in which that read them.
FORMER_VARIABLES: Final = (
    "TRANSFORMERS_CACHE",
    "PYTORCH_TRANSFORMERS_CACHE",
    "PYTORCH_PRETRAINED_BERT_CACHE",
)
# In bytes. The hub client writes 40.
_MAX_REFERENCE_BYTES: Final = 4096


def collect_notes(models: Sequence[Model], places: Places, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each name that does not lead to the catalog's model. Reads only; never raises."""
    notes = [_note_if_readable(model, places) for model in models]
    others = [_home_note(models, places, environ), _ignored_note(places, environ)]
    return tuple(note for note in [*notes, *others] if note)


def ignored_variables(environ: Mapping[str, str], places: Places) -> tuple[str, ...]:
    """Return the names of set variables that transformers 5 ignores and that name another folder than the hub place."""
    return tuple(
        name
        for name in FORMER_VARIABLES
        if environ.get(name) and os.path.normpath(environ[name]) != os.path.normpath(places.hub.path)
    )


def _note_if_readable(model: Model, places: Places) -> str:
    try:
        return _model_note(model, places)
    except (
        OSError,
        RuntimeError,
        ValueError,
    ):  # a folder that is closed to this user; a circle of links; a NUL
        return ""


def _model_note(model: Model, places: Places) -> str:
    if isinstance(model.source, HuggingFaceSource):
        return _reference_note(model.source, places)
    return _package_note(model, model.source, places)


def _reference_note(source: HuggingFaceSource, places: Places) -> str:
    """Return the note on `refs/main`, which the hub client follows when no revision is given."""
    folder = places.hub.path / repository_folder(source.repository)
    path = folder / "refs" / "main"
    fails = (
        f'offline calls of "{source.repository}" without a revision fail. `cache-warmer repair` corrects it'
    )
    ours = " if it is ours" if places.label == HOST else ""
    if not os.path.lexists(path):
        return ""
    try:
        content = read_small_file(path, _MAX_REFERENCE_BYTES).decode("utf-8", "replace")
    except OSError as error:
        return f"{path} names no commit, because it cannot be read ({error.strerror}): {fails}{ours}"
    commit = content.strip()[:_COMMIT_CHARACTERS]
    if content == source.revision:
        return ""
    if commit == source.revision:
        return f"{path} has more than the commit in it, such as a line break: {fails}{ours}"
    if content != commit or not _COMMIT.fullmatch(commit):
        return f"{path} names no commit, but {content[:_COMMIT_CHARACTERS]!r}: {fails}{ours}"
    if not (folder / "snapshots" / commit).is_dir():
        return (
            f"{path} names {commit}, of which there is no file here: {fails}{ours}. With "
            f'revision="{source.revision}" they load the catalog\'s, as the worker does'
        )
    owner = " It is not ours, so it is never changed." if places.label == HOST else ""
    return (
        f'{path} names {commit}: calls of "{source.repository}" without a revision load that commit, not the '
        f"catalog's.{owner} With revision=\"{source.revision}\" they load the catalog's, as the worker does"
    )


def _package_note(model: Model, source: SpacySource, places: Places) -> str:
    """Return the note on a package that `spacy.load` finds by name before ours."""
    name = places.spacy.path / source.package
    ours = places.spacy.path / spacy_package_folder(source) / source.package
    if not name.exists() or not ours.exists() or _is_same_package(name, ours):
        return ""
    return (
        f'{name} is not ours and stays as it is: where {places.spacy.path} is on the path, spacy.load("'
        f'{source.package}") loads that one. The catalog\'s: spacy.load("{model_path(places, model)}")'
    )


def _is_same_package(name: Path, ours: Path) -> bool:
    if name.resolve() == ours.resolve():
        return True
    try:  # a copy where links do not work, or an installed package from which ours was taken
        return read_small_file(name / "meta.json") == read_small_file(ours / "meta.json")
    except OSError:
        return False


def _home_note(models: Sequence[Model], places: Places, environ: Mapping[str, str]) -> str:
    """Return the note on a variable that sends sentence-transformers to another cache."""
    home = environ.get("SENTENCE_TRANSFORMERS_HOME", "")
    is_used = any(model.task in _SENTENCE_TRANSFORMERS_TASKS for model in models)
    if not home or places.label != HOST or not is_used or Path(home) == places.hub.path:
        return ""
    return (
        f"SENTENCE_TRANSFORMERS_HOME is {home}: sentence-transformers looks there instead of {places.hub.path}. "
        "Unset it, and sentence-transformers finds these models"
    )


def _ignored_note(places: Places, environ: Mapping[str, str]) -> str:
    """Return the note on variables that no longer have an effect."""
    names = ignored_variables(environ, places)
    if not names or places.label != HOST:
        return ""
    return f"{', '.join(names)}: set, and ignored by transformers 5. `cache-warmer doctor` explains and looks for more"
