"""Folders below `TORCH_HOME` in which older sentence-transformers look for models, made of links into the hub cache.

| read by | folder in `sentence_transformers` | what is there |
| --- | --- | --- |
| 2.3 and newer with that folder as `cache_folder` | `models--ORG--NAME` | one link to the repository of the hub cache |
| 2.0 to 2.2 | `ORG_NAME` | a folder with a link for each file of the snapshot |

sentence-transformers 2.2 loads `ORG_NAME` without a request if it has `modules.json`, and 2.0 if it exists; a name
without its organization is one of `sentence-transformers`. The files have links of their own, because 2.1 fetches into
the folder again when it is online: it then replaces these links, and would write into the snapshot behind a link to it.

Only links are ours: relative ones, as no other program writes them there. A folder that another program made, with
`modules.json` as a file or without one, is never changed. Without symbolic links nothing is written: a copy would take
the space of the model again.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from model_cache.catalog.catalog import HuggingFaceSource, Model, Task
from model_cache.layout import former_cache, repository_folder, snapshot_folder
from model_cache.places import Places

# Tasks whose models sentence-transformers loads.
_SENTENCE_TRANSFORMERS: Final = frozenset({Task.EMBEDDING, Task.PARAPHRASE})
_MODULES: Final = "modules.json"


def former_folder_name(repository: str) -> str:
    """Return the folder of `ORG/NAME` in the layout of sentence-transformers 2.0 to 2.2."""
    return repository.replace("/", "_")


def former_folders(model: Model, places: Places) -> frozenset[Path]:
    """Return the folder that `update_former_folders` writes to; none for models that need no such links."""
    return frozenset({former_cache(places)} if model.task in _SENTENCE_TRANSFORMERS else ())


def former_links(
    model: Model, source: HuggingFaceSource, names: Iterable[str], places: Places
) -> dict[Path, Path]:
    """Return the links of a model in both layouts, with the paths that they lead to.

    Args:
        model: the entry of the catalog.
        source: repository and commit.
        names: the files of the snapshot.
        places: where the parts of the cache lie.
    """
    present = sorted(names)
    links: dict[Path, Path] = {}
    for parent in former_folders(model, places):
        repository, snapshot = (
            places.hub.path / folder
            for folder in (repository_folder(source.repository), snapshot_folder(source))
        )
        links[parent / repository.name] = repository
        if _MODULES in present:  # else older versions ask the hub in any case
            former = parent / former_folder_name(source.repository)
            links |= {former / name: snapshot / name for name in present}
    return links


def update_former_folders(model: Model, source: HuggingFaceSource, places: Places) -> None:
    """Link a sentence-transformers model in both layouts, as far as the names are free or ours.

    Args:
        model: the entry of the catalog.
        source: repository and commit, whose files must be there.
        places: where the parts of the cache lie.

    Raises:
        OSError: a link cannot be written.
    """
    snapshot = places.hub.path / snapshot_folder(source)
    names = (path.relative_to(snapshot).as_posix() for path in _files(snapshot))
    links = former_links(model, source, names, places)
    for parent in former_folders(model, places):
        former = parent / former_folder_name(source.repository)
        if _is_foreign(former):
            links = {link: target for link, target in links.items() if not link.is_relative_to(former)}
        else:
            for link in _file_links(former):
                if link not in links:
                    link.unlink()
                    _remove_empty(link.parent, former)
    for link, target in links.items():
        may_write = not os.path.lexists(link) or _is_file_link(link) or _is_repository_link(link)
        if may_write and not atomic.replace_link(link, target, places.boundary_of(link)):
            return  # this file system has no links; the first one is not in a folder of its own


def remove_dangling_links(places: Places) -> None:
    """Remove links of ours whose target is gone, and the folders that become empty.

    Raises:
        OSError: a link cannot be removed.
    """
    cache = former_cache(places)
    for link in cache.glob("models--*"):
        if _is_repository_link(link) and not link.exists():
            link.unlink()
    for folder in cache.glob("*"):
        if not folder.is_symlink() and folder.is_dir() and not folder.name.startswith("models--"):
            for link in _file_links(folder):
                if not link.exists():
                    link.unlink()
                    _remove_empty(link.parent, cache)


def _is_foreign(former: Path) -> bool:
    """Return whether another program made the folder: ours has a link as `modules.json`."""
    if not os.path.lexists(former):
        return False
    return former.is_symlink() or not former.is_dir() or not _is_file_link(former / _MODULES)


def _is_repository_link(link: Path) -> bool:
    """Return whether this is a relative link to a folder of the same name."""
    return os.path.basename(atomic.read_relative_link(link)) == link.name


def _is_file_link(link: Path) -> bool:
    """Return whether this is a relative link into a snapshot of a repository."""
    parts = Path(atomic.read_relative_link(link)).parts
    return "snapshots" in parts and any(part.startswith("models--") for part in parts)


def _file_links(folder: Path) -> list[Path]:
    return [path for path in _files(folder) if _is_file_link(path)]


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in sorted(names))


def _remove_empty(folder: Path, below: Path) -> None:
    """Remove a folder and its parents below `below`, as far as they are empty."""
    with contextlib.suppress(OSError):
        while folder != below:
            folder.rmdir()
            folder = folder.parent
