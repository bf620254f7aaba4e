"""The names under which other projects import a spaCy package: links to its current version.

`importlib.metadata` finds a package by its `.dist-info`, so a former version's must not stay beside the
current one. What is no link and no copy of ours (a package that the user put there) is left alone; then none of our
names goes beside it, because half of one package and half of another are neither.
"""

import logging
import shutil
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic

_LOG: Final = logging.getLogger(__name__)
PACKAGES: Final = ".packages"
# Below PACKAGES: an empty file for each copy that we made because there are no links. A copy without one is
# not ours, though it may be the same: whoever installed the package put it there.
_COPIES: Final = ".copies"


def point_package(place: Path, tree: Path, package: str, *, ours: bool = False) -> None:
    """Let `<package>` and its `.dist-info` in the place stand for that tree. Raises `OSError`.

    `ours`: the place belongs to a cache of our own, where nobody else has a reason to put links.
    """
    dist_infos = sorted(tree.glob("*.dist-info"))
    current = {package: tree / package, **{folder.name: folder for folder in dist_infos}}
    foreign = [
        place / name
        for name in current
        if _is_foreign(place / name) and not (ours and (place / name).is_symlink())
    ]
    if foreign:
        if not _same_content(place / package, tree / package):
            _LOG.warning(
                "%s is not ours and stays as it is; other projects import that one, the worker loads %s",
                foreign[0],
                tree,
            )
        return
    for name, target in current.items():
        _point(place / name, target)
    for former in place.glob("*.dist-info"):
        if former.name.startswith(f"{package}-") and former.name not in current and not _is_foreign(former):
            _remove(former)


def _point(link: Path, target: Path) -> None:
    if atomic.points_at(link, target):
        return
    if not link.is_symlink() and link.is_dir():
        if _same_content(link, target):
            return
        _remove(link)
    if not atomic.place_link(link, target):
        fresh = link.with_name(f".{link.name}.fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(target, fresh)
        atomic.write_file(_mark(link), b"")  # first: a crash must not make our own copy look foreign
        fresh.rename(link)
        atomic.sync_folder(link.parent)


def _is_foreign(path: Path) -> bool:
    """Whether something is there that is no link into our packages and no copy that we made of one."""
    if path.is_symlink():
        return PACKAGES not in Path(path.readlink()).parts
    if not path.exists():
        return False
    trees = (path.parent / PACKAGES).glob("*")
    return not (_mark(path).exists() and any(_same_content(path, tree / path.name) for tree in trees))


def _mark(path: Path) -> Path:
    return path.parent / PACKAGES / _COPIES / path.name


def _same_content(copy: Path, original: Path) -> bool:
    """By the file that differs between any two versions: RECORD of a .dist-info, meta.json of a package."""
    for marker in ("RECORD", "meta.json"):
        try:
            return (copy / marker).read_bytes() == (original / marker).read_bytes()
        except OSError:
            continue
    return False


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
