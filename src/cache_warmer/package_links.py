"""The names under which other projects import a spaCy package: links to its current version.

``importlib.metadata`` finds a package by its ``.dist-info``, so a former version's must not stay beside the
current one. What is no link and no copy of ours (a package that the user put there) is left alone.
"""

import logging
import shutil
from pathlib import Path

from cache_warmer import durable, links

_LOG = logging.getLogger(__name__)
PACKAGES = ".packages"


def point_package(place: Path, tree: Path, package: str) -> None:
    """Let ``<package>`` and its ``.dist-info`` in the place stand for that tree. Raises ``OSError``."""
    dist_infos = sorted(tree.glob("*.dist-info"))
    current = {package: tree / package, **{folder.name: folder for folder in dist_infos}}
    for name, target in current.items():
        _point(place / name, target)
    for former in place.glob("*.dist-info"):
        if former.name.startswith(f"{package}-") and former.name not in current and _is_ours(former):
            _remove(former)


def _point(link: Path, target: Path) -> None:
    if links.points_at(link, target):
        return
    if not link.is_symlink() and link.exists() and not _is_ours(link):
        _LOG.warning("%s is not ours and stays as it is; other projects will import that one", link)
        return
    if not link.is_symlink() and link.is_dir():
        if _same_copy(link, target):
            return
        _remove(link)
    if not links.place_link(link, target):
        fresh = link.with_name(f".{link.name}.fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(target, fresh)
        fresh.rename(link)
        durable.sync_folder(link.parent)


def _is_ours(path: Path) -> bool:
    """A link into our packages, or a copy of one of them."""
    if path.is_symlink():
        return PACKAGES in Path(path.readlink()).parts
    return any(_same_copy(path, tree / path.name) for tree in (path.parent / PACKAGES).glob("*"))


def _same_copy(copy: Path, original: Path) -> bool:
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
