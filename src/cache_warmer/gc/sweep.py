"""Deletes what a look found, under the lease: promises first, so that none is broken.

It can be killed anywhere, and the next run ends it: what is about to go is moved aside as a promise, then names that
would dangle are moved, then blobs go before the links by which they are found, and last what was moved aside.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.artifacts.hf_layout import point_reference
from cache_warmer.artifacts.package_links import PACKAGES, point_package
from cache_warmer.disk import atomic
from cache_warmer.disk.file_lock import LockResult, try_lock
from cache_warmer.gc.leftovers import COLLECTED
from cache_warmer.gc.packages import package_of
from cache_warmer.gc.plan import Going, Kind, NameMove
from cache_warmer.gc.retention import GcPlan, Kept
from cache_warmer.gc.roots import aside_folder
from model_cache.places import Places


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Deletes. `keep_going` is called before each deletion, and raises when the lease is lost."""

    places: Places
    keep_going: Callable[[], None]

    def apply(self, collection: GcPlan) -> None:
        """Delete it. Raises `OSError`, `LeaseLost`."""
        self._put_aside(collection.kept)
        for found in collection.findings:
            for move in found.moves:
                self._move(move)
            for going in found.going:
                self.keep_going()
                self._delete(going)
            for folder in found.empty:
                with contextlib.suppress(OSError):  # not empty: somebody else's things are in it
                    folder.rmdir()
        self._drop_dangling_links()
        for digest in collection.kept.going_digests:
            (self.places.own.path / "whole-bytes" / digest).unlink(missing_ok=True)
        for path in sorted(aside_folder(self.places).glob("*.json")):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            aside_folder(self.places).rmdir()

    def _put_aside(self, kept: Kept) -> None:
        folder = aside_folder(self.places)
        going = [*(one.path for one in kept.going), *kept.going_records]
        if going:
            atomic.make_folders(folder)
        for path in going:
            self.keep_going()
            os.replace(path, folder / path.name)
        for parent in {path.parent for path in going}:
            atomic.sync_folder(parent)
        if going:
            atomic.sync_folder(folder)
        for path in kept.references:
            path.unlink(missing_ok=True)

    def _move(self, move: NameMove) -> None:
        path = move.path
        if path.parent == self.places.spacy.path:
            self._move_package(path, move.to)
        elif move.to is not None:
            point_reference(path.parents[1], move.to, self.places)
        else:
            path.unlink(missing_ok=True)
            # a reference that another project writes later must not look like ours
            (self.places.own.path / "refs" / f"{path.parents[1].name}.json").unlink(missing_ok=True)

    def _move_package(self, name: Path, tree: str | None) -> None:
        packages = name.parent / PACKAGES
        if tree is not None:
            point_package(name.parent, packages / tree, package_of(tree))
        else:
            _remove(name)
            (packages / ".copies" / name.name).unlink(missing_ok=True)

    def _delete(self, going: Going) -> None:
        path = going.path
        if going.kind is Kind.STAGING and _is_in_use(path):
            return
        if going.kind is Kind.PACKAGE:  # first out of the way: nobody shall see half of it
            staging = path.parent / ".staging" / f"{path.name}{COLLECTED}"
            atomic.make_folders(staging.parent)
            _remove(staging)
            os.replace(path, staging)
            path = staging
        _remove(path)

    def _drop_dangling_links(self) -> None:
        """Remove links of ours whose folder is gone."""
        torch = self.places.torch.path / "sentence_transformers"
        links = [link for link in torch.glob("models--*") if Path(_target(link)).name == link.name]
        links += [
            link for link in self.places.spacy.path.glob("*") if Path(_target(link)).parts[:1] == (PACKAGES,)
        ]
        for link in links:
            if not link.exists():
                link.unlink()


def _target(link: Path) -> str:
    """Return where a relative link leads; nothing of one that is none, or absolute: those are not ours."""
    target = os.readlink(link) if link.is_symlink() else ""
    return "" if os.path.isabs(target) else target


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_in_use(path: Path) -> bool:
    """Whether a live process holds a staging file: one that lost its lease while it was frozen."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        return try_lock(descriptor) is LockResult.HELD_BY_ANOTHER
    finally:
        os.close(descriptor)
