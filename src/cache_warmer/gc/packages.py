"""Garbage among the spaCy packages: which trees no retained generation needs, and which names lead to them.

Packages are unpacked as trees below `.packages`. Beside it lie the names by which other projects import them: a link
to a tree, or a copy of one where the file system has no links.

`scan_packages` reads the place into a value, `plan_packages` decides over that value and touches no disk.

`.packages` is a folder of ours, so in a cache of our own a tree that no record lists is deleted as well once it is
old. On a host another user's warmer may have unpacked it, so only trees of this user are deleted there.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.package_links import PACKAGES
from cache_warmer.gc.plan import Deletion, Hold, ItemKind, NameUpdate, PlanSection
from cache_warmer.gc.repositories import freed_bytes
from model_cache.file_io import read_small_file

# Below `PACKAGES`: an empty file for each name that is a copy of ours.
_COPIES: Final = ".copies"
# Files that differ between any two versions: RECORD of a `.dist-info`, meta.json of a package.
_VERSION_FILES: Final = ("RECORD", "meta.json")


@dataclass(frozen=True, slots=True)
class PackageTree:
    """The tree of a package.

    Attributes:
        bytes: what deleting it frees.
        created: when it was made, in seconds since the epoch.
        uid: its owner.
    """

    bytes: int
    created: float
    uid: int


@dataclass(frozen=True, slots=True)
class InstalledPackages:
    """What is in the place of packages.

    Attributes:
        place: the folder of the place.
        trees: by name.
        links: the tree that each name in the place leads to.
    """

    place: Path
    trees: Mapping[str, PackageTree]
    links: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PackageRetention:
    """What has to be retained of the packages.

    Attributes:
        known: names of the trees that catalogs of ours brought.
        retained: those of them that a retained generation needs.
        found: those that the warmer found and did not make; they stay.
        preferred: retained trees, in the order of preference when a package's names move.
        uid: only trees of this user are deleted; None: all (a cache of our own).
        unlisted_before: trees that no record lists are deleted if they were made before that time, in seconds since
            the epoch; None: they stay.
    """

    known: frozenset[str]
    retained: frozenset[str]
    preferred: tuple[str, ...]
    uid: int | None
    unlisted_before: float | None
    found: frozenset[str] = frozenset()


def scan_packages(place: Path) -> InstalledPackages:
    """Read the place of packages.

    Raises:
        OSError: a file or a folder cannot be read.
    """
    folder = place / PACKAGES
    if folder.is_symlink() or not folder.is_dir():
        return InstalledPackages(place, {}, {})
    trees = {
        path.name: _scan_tree(path)
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.is_dir() and not path.is_symlink()
    }
    links = {path.name: tree for path in sorted(place.iterdir()) if (tree := _target_tree(path, trees))}
    return InstalledPackages(place, trees, links)


def plan_packages(packages: InstalledPackages, retention: PackageRetention) -> PlanSection:
    """Return which trees are deleted, and which names move."""
    deletions, holds = [], []
    for name, tree in sorted(packages.trees.items()):
        path = packages.place / PACKAGES / name
        if name in retention.retained:
            continue
        if name in retention.found:
            holds.append(Hold(path, "it was found here, not made by the warmer"))
        elif name in retention.known:
            if retention.uid is None or tree.uid == retention.uid:
                deletions.append(Deletion(ItemKind.PACKAGE, path, tree.bytes, "no kept generation lists it"))
            else:
                holds.append(Hold(path, f"it belongs to uid {tree.uid}"))
        elif retention.unlisted_before is not None and tree.created < retention.unlisted_before:
            deletions.append(Deletion(ItemKind.PACKAGE, path, tree.bytes, "no record lists it"))
    deleted = {deletion.path.name for deletion in deletions}
    name_updates = [
        NameUpdate(packages.place / name, _successor(package_of(tree), retention))
        for name, tree in packages.links.items()
        if tree in deleted
    ]
    return PlanSection(tuple(name_updates), tuple(deletions), holds=tuple(holds))


def package_of(tree: str) -> str:
    """Return the import name of a tree's package: `de_core_news_lg` of `de_core_news_lg-3.8.0-36fda650`."""
    return tree.rsplit("-", 2)[0]


def _successor(package: str, retention: PackageRetention) -> str | None:
    return next((tree for tree in retention.preferred if package_of(tree) == package), None)


def _scan_tree(path: Path) -> PackageTree:
    found = path.lstat()
    return PackageTree(freed_bytes(path), found.st_mtime, found.st_uid)


def _target_tree(path: Path, trees: Mapping[str, PackageTree]) -> str:
    """Return the tree that a name leads to; empty if it is neither a link nor a copy of ours."""
    if path.is_symlink():
        parts = Path(os.readlink(path)).parts
        return parts[1] if len(parts) == 3 and parts[0] == PACKAGES else ""
    if not (path.parent / PACKAGES / _COPIES / path.name).exists():
        return ""
    return next((tree for tree in trees if _is_same(path, path.parent / PACKAGES / tree / path.name)), "")


def _is_same(copy: Path, original: Path) -> bool:
    for name in _VERSION_FILES:
        try:
            return read_small_file(copy / name) == read_small_file(original / name)
        except OSError:
            continue
    return False
