"""The names in the hub's layout that move: ``refs/main``, and the folder of older sentence-transformers.

In a cache of our own both follow the last generation that was warmed. On a host they are ours only if they
were absent or we wrote them, which a note beside our manifests remembers: another project's are never moved.
"""

import json
import os
from collections.abc import Collection
from pathlib import Path

from cache_warmer.disk import durable, links
from model_cache.catalogs.catalog import Model, Task
from model_cache.places import HOST, Places

_SENTENCE_TRANSFORMERS = frozenset({Task.EMBEDDING, Task.PARAPHRASE})


def point_reference(folder: Path, commit: str, places: Places) -> None:
    """Let ``refs/main`` of a repository's folder name the commit, if it is ours to move.

    No line break at its end: the hub client takes one for a part of the commit.
    """
    path = folder / "refs" / "main"
    if places.label == HOST and path.is_dir():
        return
    current = _read(path)
    if current == commit.encode():
        return
    note = places.own.path / "refs" / f"{folder.name}.json"
    ours = _noted(note)
    named = None if current is None else current.decode("utf-8", "replace").strip()
    if places.label == HOST and named is not None and named not in ours:
        return
    # noted first: a crash between the two writes must not make our own reference look foreign
    _note(note, {*ours, commit})
    try:
        durable.write_file(path, commit.encode())
    except OSError:
        _note(note, ours)  # nor may one that another project writes later look like ours
        raise


def point_torch_folder(model: Model, folder: Path, places: Places) -> None:
    """Link a sentence-transformers model's hub folder below ``TORCH_HOME``, where older versions look."""
    if model.task not in _SENTENCE_TRANSFORMERS:
        return
    link = places.torch.path / "sentence_transformers" / folder.name
    if _looks_like_ours(link) or not os.path.lexists(link):
        links.place_link(link, folder)  # without links there is nothing to put: a copy would double the model


def _looks_like_ours(link: Path) -> bool:
    """A relative link to a folder of the same name, as we write them; another's is left alone."""
    try:
        target = os.readlink(link)
    except OSError:
        return False
    return not os.path.isabs(target) and os.path.basename(target) == link.name


def _note(note: Path, commits: Collection[str]) -> None:
    durable.write_file(note, json.dumps(sorted(commits)).encode() + b"\n")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None


def _noted(note: Path) -> frozenset[str]:
    content = _read(note)
    try:
        commits = json.loads(content) if content is not None else []
    except ValueError:
        return frozenset()
    return frozenset(commit for commit in commits if isinstance(commit, str))
