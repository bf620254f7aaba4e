"""The trees of spaCy packages and the names that lead to them: which of them nobody needs.

`.packages` is a folder of ours, so in a cache of our own a tree that no record lists goes, too, once it is old. On
a host another user's warmer may have unpacked it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.artifacts.package_links import PACKAGES
from cache_warmer.gc.plan import Findings, Going, Held, Kind, NameMove
from cache_warmer.gc.repositories import freed_bytes

_COPIES: Final = ".copies"


@dataclass(frozen=True, slots=True)
class Tree:
    """A package's tree: what deleting it frees, when it was made (seconds since the epoch), and whose it is."""

    bytes: int
    made: float
    owner: int


@dataclass(frozen=True, slots=True)
class Packages:
    """What is in the place: trees by name, and of each name for other projects the tree that it leads to."""

    place: Path
    trees: Mapping[str, Tree]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TreeWishes:
    """What is known of the trees.

    Attributes:
        known, kept: trees that catalogs of ours brought, and those that one still needs.
        preferred: kept trees in the order in which a package's names shall lead to them.
        user: only trees of this user go; None: all (a cache of our own).
        old: trees that no record lists go if they were made before that time; None: they stay.
    """

    known: frozenset[str]
    kept: frozenset[str]
    preferred: tuple[str, ...]
    user: int | None
    old: float | None


def look_at_packages(place: Path) -> Packages:
    """Read the place. Raises `OSError`."""
    folder = place / PACKAGES
    if folder.is_symlink() or not folder.is_dir():
        return Packages(place, {}, {})
    trees = {
        path.name: _tree(path)
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.is_dir() and not path.is_symlink()
    }
    names = {path.name: tree for path in sorted(place.iterdir()) if (tree := _leads_to(path, trees))}
    return Packages(place, trees, names)


def judge_packages(there: Packages, wishes: TreeWishes) -> Findings:
    """Return which trees go and which names move."""
    going, held = [], []
    for name, tree in sorted(there.trees.items()):
        path = there.place / PACKAGES / name
        if name in wishes.kept:
            continue
        if name in wishes.known:
            if wishes.user is None or tree.owner == wishes.user:
                going.append(Going(Kind.PACKAGE, path, tree.bytes, "no kept generation lists it"))
            else:
                held.append(Held(path, f"it belongs to uid {tree.owner}"))
        elif wishes.old is not None and tree.made < wishes.old:
            going.append(Going(Kind.PACKAGE, path, tree.bytes, "no record lists it"))
    gone = {one.path.name for one in going}
    moves = [
        NameMove(there.place / name, _instead(package_of(tree), wishes))
        for name, tree in there.names.items()
        if tree in gone
    ]
    return Findings(tuple(moves), tuple(going), (), tuple(held))


def package_of(tree: str) -> str:
    """Return the import name of a tree's package: `de_core_news_lg` of `de_core_news_lg-3.8.0-36fda650`."""
    return tree.rsplit("-", 2)[0]


def _instead(package: str, wishes: TreeWishes) -> str | None:
    return next((tree for tree in wishes.preferred if package_of(tree) == package), None)


def _tree(path: Path) -> Tree:
    state = path.lstat()
    size = sum(freed_bytes(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)
    return Tree(size, state.st_mtime, state.st_uid)


def _leads_to(path: Path, trees: Mapping[str, Tree]) -> str:
    """Return the tree that a link, or a copy that we made where there are no links, stands for; else nothing."""
    if path.is_symlink():
        parts = Path(os.readlink(path)).parts
        return parts[1] if len(parts) == 3 and parts[0] == PACKAGES else ""
    if not (path.parent / PACKAGES / _COPIES / path.name).exists():
        return ""
    return next((tree for tree in trees if _same(path, path.parent / PACKAGES / tree / path.name)), "")


def _same(copy: Path, original: Path) -> bool:
    for marker in ("RECORD", "meta.json"):
        try:
            return (copy / marker).read_bytes() == (original / marker).read_bytes()
        except OSError:
            continue
    return False
