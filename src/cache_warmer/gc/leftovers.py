"""What a run leaves that failed: staging files, wrong bodies, probes, temporary names. Old ones, in folders of ours."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cache_warmer.gc.plan import Going, Kind
from cache_warmer.gc.repositories import freed_bytes
from cache_warmer.transfer.staging import is_quarantined
from model_cache.places import HOST, Places

# Nothing that is still being written is that old and not locked; a warm that was stopped goes on sooner.
OLD_SECONDS: Final = 3600.0
# The end of a tree's name that a collection is deleting.
COLLECTED: Final = ".collected.incomplete"
_INCOMPLETE, _TEMPORARY, _PROBE = ".incomplete", ".tmp", ".qda-probe"


def leftovers(
    places: Places, repositories: Iterable[Path], needed: Iterable[Path], before: float, uid: int | None
) -> tuple[Going, ...]:
    """Return what is left over.

    Args:
        places: of the cache; of another program's repositories nothing is looked at.
        repositories: folders of those that catalogs of ours brought.
        needed: folders whose staging files the next warm goes on with.
        before: only what was written before that time, in seconds since the epoch.
        uid: on a host, whose staging files are ours.
    """
    on_host = places.label == HOST
    packages = places.spacy.path / ".packages"
    kept = tuple(needed)
    found = [
        Going(Kind.STAGING, path, _size(path), _why(path))
        for folder in (*repositories, packages)
        for path in _ending(folder, (_INCOMPLETE,))
        if (is_quarantined(path) or not any(path.is_relative_to(one) for one in kept))
        and _is_staging_of_ours(path, on_host, uid)
    ]
    found += [
        Going(Kind.LEFTOVER, path, _size(path), "left by a write that ended")
        for folder in (*repositories, packages / ".copies", places.own.path)
        for path in _ending(folder, (_TEMPORARY,))
        if path.name.startswith(".") and (not on_host or folder == places.own.path)
    ]
    found += [
        Going(Kind.LEFTOVER, path, 0, "left by a probe of the volume")
        for place in places.all()
        for path in _listed(place.path)
        if path.name.startswith(_PROBE)
    ]
    return tuple(one for one in found if one.path.name.endswith(COLLECTED) or _written(one.path) < before)


def _why(path: Path) -> str:
    return "wrong content that a source sent" if is_quarantined(path) else "left by a transfer that ended"


def _is_staging_of_ours(path: Path, on_host: bool, uid: int | None) -> bool:
    return not on_host or path.name.endswith(COLLECTED) or f".qda-{uid}." in path.name


def _ending(folder: Path, ends: tuple[str, ...]) -> Iterator[Path]:
    """The outermost names below a folder that end so; links are not followed."""
    for path in _listed(folder):
        if path.name.endswith(ends):
            yield path
        elif path.is_dir() and not path.is_symlink():
            yield from _ending(path, ends)


def _listed(folder: Path) -> list[Path]:
    if folder.is_symlink():
        return []
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(freed_bytes(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)
    return freed_bytes(path)


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # a run that ends just now
        return float("inf")
