"""The same files in two caches: which models are stored twice, and how many bytes that costs.

The caches are the hub cache, the hub cache of the default place and of former variables, the former folder of
sentence-transformers, that of torch, and spaCy packages in site-packages and in our place. Links and hard links are one
copy. Files are the same if size and sha256 are. The name of a blob of the hub's large files is its sha256; other files
are read, but only if a file of another cache has the same size. A copy that shares its blocks with another one
(reflink) cannot be told from a real one.
"""

import hashlib
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.doctor.diagnosis import Finding, Severity
from cache_warmer.doctor.libraries import spacy_packages
from cache_warmer.doctor.repositories import files_below
from cache_warmer.doctor.variables import expand_home
from model_cache.check.notes import FORMER_VARIABLES
from model_cache.file_io import open_regular_file
from model_cache.formatting import count_of, human_bytes
from model_cache.layout import PACKAGES, former_cache
from model_cache.places import Places
from model_cache.reasons import Reason

# Smaller files are not compared: they cost little, and many models have the same.
MIN_BYTES: Final = 256 << 10
_SHA256: Final = re.compile("[0-9a-f]{64}")
_LINKED: Final = (
    "move {folder} away, run `cache-warmer warm`, which puts a link to the hub cache there for an embedding model of "
    "the catalog, and delete it"
)
_INSTALLED: Final = (
    "keep {folder} if projects of this Python import it; otherwise remove it with `pip uninstall`, and let them find "
    "ours by `cache-warmer env`"
)


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache of some program.

    Attributes:
        name: what it is.
        folders: the folders of its models, or of everything in it.
        removal: the remedy for a second copy there; `{folder}` stands for its folder.
    """

    name: str
    folders: tuple[Path, ...]
    removal: str = "delete {folder} if no program names that folder"


@dataclass(frozen=True, slots=True)
class _File:
    cache: str
    folder: Path
    path: Path
    bytes: int
    inode: tuple[int, int]


def known_caches(
    places: Places, environ: Mapping[str, str], home: Path | None, site_packages: Iterable[Path]
) -> tuple[Cache, ...]:
    """Return the caches to compare, first the one that should stay.

    Args:
        places: the places of the cache.
        environ: variables with the folders of former libraries.
        home: the user's home; None: not known.
        site_packages: the folders from which this Python imports packages.
    """
    hub, torch = places.hub.path, places.torch.path
    caches = [
        Cache("hub cache", (hub,)),
        Cache("spaCy packages", (places.spacy.path,)),
        Cache("former cache of sentence-transformers", (former_cache(places),), _LINKED),
        Cache("torch cache", (torch / "hub",)),
        *(
            Cache(name, (expand_home(environ[name]),))
            for name in (*FORMER_VARIABLES, "SENTENCE_TRANSFORMERS_HOME")
            if environ.get(name)
        ),
    ]
    if home is not None:
        default = home / ".cache"
        caches += [
            Cache("hub cache of the default place", (default / "huggingface" / "hub",)),
            Cache("cache of transformers before 4.22", (default / "huggingface" / "transformers",)),
            Cache(
                "former cache of sentence-transformers in the default place",
                (default / "torch" / "sentence_transformers",),
            ),
        ]
    for folder in site_packages:
        packages = tuple(package for _, package in spacy_packages(folder))
        if packages:
            caches.append(Cache(f"packages in {folder}", packages, _INSTALLED))
    return tuple(caches)


def check_duplicates(caches: Sequence[Cache]) -> Iterator[Finding]:
    """Yield a finding for each model that two caches hold, with the bytes of the second copy."""
    copies: dict[tuple[Path, Path], list[tuple[_File, _File]]] = defaultdict(list)
    for same in _same_files(_all_files(caches)):
        first, *others = same
        for other in others:
            copies[first.folder, other.folder].append((first, other))
    for (kept, second), pairs in copies.items():
        cost = sum(other.bytes for _, other in pairs)
        former = next(cache for cache in caches if cache.name == pairs[0][1].cache)
        yield Finding(
            Severity.WARNING,
            "stored-twice",
            Reason.OK,
            f"{kept} and {second} ({former.name}) hold {count_of(len(pairs), 'file')} with the same content: "
            f"{human_bytes(cost)} are stored twice",
            former.removal.format(folder=second),
            tuple(str(other.path) for _, other in pairs),
            cost,
        )


def _all_files(caches: Sequence[Cache]) -> list[_File]:
    """Return the files of all caches, each inode once: under the name of the first cache that has it."""
    found: dict[tuple[int, int], _File] = {}
    for cache in caches:
        for root in cache.folders:
            for path in files_below(root, []):
                try:
                    status = path.lstat()
                except OSError:  # deleted meanwhile
                    continue
                inode = (status.st_dev, status.st_ino)
                if stat.S_ISREG(status.st_mode) and status.st_size >= MIN_BYTES and inode not in found:
                    found[inode] = _File(cache.name, _model_folder(root, path), path, status.st_size, inode)
    return list(found.values())


def _model_folder(root: Path, path: Path) -> Path:
    """Return the folder of the model below a cache; the cache itself for a file directly in it."""
    parts = path.relative_to(root).parts
    if len(parts) < 2 or (root / "__init__.py").exists():  # a package: it is the model
        return root
    depth = 2 if parts[0] == PACKAGES and len(parts) > 2 else 1
    return root.joinpath(*parts[:depth])


def _same_files(files: Iterable[_File]) -> Iterator[list[_File]]:
    """Yield the files of one content: the first, and those in other caches than it, in the order of the caches."""
    by_size: dict[int, list[_File]] = defaultdict(list)
    for file in files:
        by_size[file.bytes].append(file)
    for candidates in by_size.values():
        if len({file.cache for file in candidates}) < 2:
            continue
        by_hash: dict[str, list[_File]] = defaultdict(list)
        for file in candidates:
            if (digest := _digest(file.path)) is not None:
                by_hash[digest].append(file)
        for same in by_hash.values():
            if len({file.cache for file in same}) > 1:
                first = same[0]
                yield [first, *(file for file in same[1:] if file.cache != first.cache)]


def _digest(path: Path) -> str | None:
    """Return the sha256 of a file; that in its name, if it is a blob. None if it cannot be read."""
    if _SHA256.fullmatch(path.name) and path.parent.name == "blobs":
        return path.name
    try:
        with open_regular_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
