"""Find the package trees that no retained generation needs, and the names that lead to them.

Packages are unpacked as trees below `.packages`. Beside it are the names by which other projects import them: a link
to a tree, or a copy of one where the file system has no links.

`scan_packages` reads the place into a value. `plan_packages` is a pure function of that value.

`.packages` is a folder of ours, so in a cache of our own a tree that no record lists is deleted as well once it is
old. On a host another user's warmer may have unpacked it, so only trees of this user are deleted there.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.artifacts.package_links import copy_marker, is_same_version
from cache_warmer.gc.plan import Deletion, Hold, ItemKind, NameUpdate, PlanSection
from cache_warmer.gc.repositories import freed_bytes
from model_cache.layout import PACKAGES


@dataclass(frozen=True, slots=True)
class PackageTree:
    """One unpacked package.

    Attributes:
        bytes: the bytes that deleting it frees.
        created: its creation time, in seconds since the epoch.
        uid: the id of its owner.
    """

    bytes: int
    created: float
    uid: int


@dataclass(frozen=True, slots=True)
class InstalledPackages:
    """Content of the place of packages.

    Attributes:
        place: the path of the place.
        trees: the trees, by name.
        links: the tree that each name in the place leads to.
    """

    place: Path
    trees: Mapping[str, PackageTree]
    links: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PackageRetention:
    """Packages that must be retained, and limits of the deletion.

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
    """Return the trees to delete and the names to move."""
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
    if not copy_marker(path).exists():
        return ""
    packages = path.parent / PACKAGES
    return next((tree for tree in trees if is_same_version(path, packages / tree / path.name)), "")
