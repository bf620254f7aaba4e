"""Find files that a failed run left behind: partial files, wrong bodies, probes and temporary files.

Only folders of ours are searched, and only old files count: what is still being written is younger than
`MIN_AGE_SECONDS`. `sweep` does not delete a partial file that a live process has locked. Partial files that the next
warm of the current catalog resumes are kept.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cache_warmer.gc.plan import Deletion, ItemKind
from cache_warmer.gc.repositories import freed_bytes, list_folder
from cache_warmer.transfer.staging import is_quarantined
from model_cache.layout import COPY_MARKERS, PACKAGES, prepared_folder
from model_cache.places import HOST, Places

# In seconds. A transfer writes to its partial file far more often than that.
MIN_AGE_SECONDS: Final = 3600.0
# Suffix of a package tree that a sweep is deleting.
SWEPT_SUFFIX: Final = ".collected.incomplete"
_INCOMPLETE: Final = ".incomplete"
_TEMPORARY: Final = ".tmp"
_PROBE: Final = ".qda-probe"


def find_leftovers(
    places: Places, repositories: Iterable[Path], resumable: Iterable[Path], before: float, uid: int | None
) -> tuple[Deletion, ...]:
    """Return the leftovers as deletions.

    Args:
        places: the places of the cache.
        repositories: folders of the repositories that catalogs of ours brought; others are not searched.
        resumable: folders whose partial files the next warm resumes.
        before: time in seconds since the epoch; files written later are kept.
        uid: on a host, the user whose partial files are ours; None where the system has no users.
    """
    folders, packages = tuple(repositories), places.spacy.path / PACKAGES
    found = [
        *_partial_files(places, (*folders, packages), tuple(resumable), uid),
        # Of forms, in our own place: on a host only this user's warmers write there.
        *(
            Deletion(ItemKind.STAGING, path, freed_bytes(path), "left by a publication that ended")
            for path in _names_ending(prepared_folder(places), _INCOMPLETE)
        ),
        *_temporary_files(places, (*folders, packages / COPY_MARKERS, places.own.path)),
        *_probes(places),
    ]
    return tuple(
        deletion
        for deletion in found
        if deletion.path.name.endswith(SWEPT_SUFFIX) or _written(deletion.path) < before
    )


def _partial_files(
    places: Places, folders: Iterable[Path], resumable: tuple[Path, ...], uid: int | None
) -> Iterator[Deletion]:
    for folder in folders:
        for path in _names_ending(folder, _INCOMPLETE):
            wrong = is_quarantined(path)
            is_resumable = not wrong and any(path.is_relative_to(each) for each in resumable)
            # On a host other users and other programs write partial files to the same folders.
            is_ours = places.label != HOST or path.name.endswith(SWEPT_SUFFIX) or f".qda-{uid}." in path.name
            if is_ours and not is_resumable:
                why = "wrong content that a source sent" if wrong else "left by a transfer that ended"
                yield Deletion(ItemKind.STAGING, path, freed_bytes(path), why)


def _temporary_files(places: Places, folders: Iterable[Path]) -> Iterator[Deletion]:
    for folder in folders:
        # On a host only the warmer's own folder has temporary files that are ours for certain.
        if places.label == HOST and folder != places.own.path:
            continue
        for path in _names_ending(folder, _TEMPORARY):
            if path.name.startswith("."):
                yield Deletion(ItemKind.LEFTOVER, path, freed_bytes(path), "left by a write that ended")


def _probes(places: Places) -> Iterator[Deletion]:
    for place in places.all():
        for path in list_folder(place.path):
            if path.name.startswith(_PROBE):
                yield Deletion(ItemKind.LEFTOVER, path, 0, "left by a probe of the volume")


def _names_ending(folder: Path, end: str) -> Iterator[Path]:
    """Yield the outermost paths below a folder whose names end with `end`; links are not followed."""
    for path in list_folder(folder):
        if path.name.endswith(end):
            yield path
        elif path.is_dir() and not path.is_symlink():
            yield from _names_ending(path, end)


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # another run removed it meanwhile
        return float("inf")
