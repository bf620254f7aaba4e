"""Links by which other projects import a spaCy package: `<package>` and its `.dist-info`, pointing at one version.

`importlib.metadata` finds a package by its `.dist-info`, so that of a former version is removed. Something that is
neither a link nor a copy of ours (a package that the user installed there) is left alone; then none of our links is
written beside it, because a mixture of two packages is neither.

Where there are no links, the tree is copied, and an empty marker file for each copy records that it is ours.
"""

import logging
import shutil
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from model_cache.containment import CacheBoundary
from model_cache.file_io import read_small_file, rename, sync_folder, temporary_name
from model_cache.layout import COPY_MARKERS, PACKAGES

_LOG: Final = logging.getLogger(__name__)
# Files that differ between any two versions: of a .dist-info, and of a package.
_VERSION_FILES: Final = ("RECORD", "meta.json")
_MAX_VERSION_FILE_BYTES: Final = 16 * 10**6


def update_package_links(
    place: Path, tree: Path, package: str, boundary: CacheBoundary, *, ours: bool = False
) -> None:
    """Point `<package>` and its `.dist-info` in a place at the files of an unpacked wheel.

    Args:
        place: the spaCy place.
        tree: folder of the unpacked wheel.
        package: name of the package.
        boundary: the boundary of the cache.
        ours: whether the place belongs to a cache of our own, so that any link in it may be replaced.

    Raises:
        OSError: a link or copy cannot be written.
    """
    targets = {package: tree / package, **{path.name: path for path in sorted(tree.glob("*.dist-info"))}}
    foreign = [
        place / name
        for name in targets
        if _is_foreign(place / name) and not (ours and (place / name).is_symlink())
    ]
    if foreign:
        if not is_same_version(place / package, tree / package):
            _LOG.warning(
                "%s is not ours and stays as it is; other projects import that one, the worker loads %s",
                foreign[0],
                tree,
            )
        return
    for name, target in targets.items():
        _link_or_copy(place / name, target, boundary)
    for former in place.glob("*.dist-info"):
        if former.name.startswith(f"{package}-") and former.name not in targets and not _is_foreign(former):
            _remove(former)


def _link_or_copy(link: Path, target: Path, boundary: CacheBoundary) -> None:
    atomic.make_folders(link.parent, boundary)
    if atomic.points_at(link, target):
        return
    if not link.is_symlink() and link.is_dir():
        if is_same_version(link, target):
            return
        _remove(link)
    if not atomic.replace_link(link, target, boundary):
        copy = temporary_name(link)
        try:
            shutil.copytree(target, copy)
            # the marker first: after a crash our own copy must not look like the user's
            atomic.write_file(copy_marker(link), b"", boundary)
            rename(copy, link)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        sync_folder(link.parent)


def _is_foreign(path: Path) -> bool:
    """Return whether a path is neither a link into our packages nor a copy that we made of one."""
    if path.is_symlink():
        return PACKAGES not in Path(path.readlink()).parts
    if not path.exists():
        return False
    trees = (path.parent / PACKAGES).glob("*")
    is_copy = any(is_same_version(path, tree / path.name) for tree in trees)
    return not (copy_marker(path).exists() and is_copy)


def copy_marker(path: Path) -> Path:
    """Return the file that marks a package, or a `.dist-info`, as a copy of ours."""
    return path.parent / PACKAGES / COPY_MARKERS / path.name


def is_same_version(copy: Path, original: Path) -> bool:
    """Compare two packages, or two `.dist-info` folders, by the file that differs between any two versions."""
    for name in _VERSION_FILES:
        try:
            content, expected = (
                read_small_file(folder / name, _MAX_VERSION_FILE_BYTES) for folder in (copy, original)
            )
        except OSError:
            continue
        return content == expected
    return False


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
