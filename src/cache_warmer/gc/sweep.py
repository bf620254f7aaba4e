"""Carry out the plan of a garbage collection. Runs in the main thread, while the caller holds the lease.

The order makes it safe to kill the process at any instant, and the next sweep completes it:

1. Manifests and records that no longer hold move to the folder `collected`, so no root lists a file that is about
   to be deleted. There they still list which files the warmer wrote. Dead references are removed.
2. Names move before their target is deleted, so that none dangles.
   So are the hub client's lists of commits that stay: no name in them may lead to nothing.
3. Blobs are deleted before the links through which the next scan would find them.
4. Links whose target is gone, and the manifests and records in `collected`, are removed last.

Before each deletion the lease is checked: a process that lost it deletes nothing more. An `OSError` ends the
sweep at once.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.artifacts.former_folders import remove_dangling_links
from cache_warmer.artifacts.hf_layout import update_main_ref, update_tree_list
from cache_warmer.artifacts.package_links import copy_marker, update_package_links
from cache_warmer.disk import atomic
from cache_warmer.disk.file_lock import LockResult, try_lock
from cache_warmer.disk.tree import remove_tree
from cache_warmer.gc.leftovers import SWEPT_SUFFIX
from cache_warmer.gc.packages import package_of
from cache_warmer.gc.plan import Deletion, GcPlan, ItemKind, NameUpdate
from cache_warmer.gc.retention import RetentionDecision
from cache_warmer.gc.roots import retired_folder
from model_cache.file_io import rename, sync_folder
from model_cache.layout import PACKAGES, deep_check_path
from model_cache.places import Places


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Executes a plan.

    Attributes:
        places: the places of the cache.
        check_lease: called before each deletion; raises `LeaseLost` if the lease is lost.
    """

    places: Places
    check_lease: Callable[[], None]

    def apply(self, plan: GcPlan) -> None:
        """Carry out the plan.

        Raises:
            LeaseLost: another writer took over.
            OSError: something cannot be moved or deleted.
        """
        self._retire(plan.retention)
        for section in plan.sections:
            for update in section.name_updates:
                self._update_name(update)
            for tree_list in section.tree_list_updates:
                self.check_lease()
                update_tree_list(self.places, tree_list.snapshot, gone=tree_list.gone)
            for deletion in section.deletions:
                self.check_lease()
                self._delete(deletion)
            for folder in section.empty_folders:
                with contextlib.suppress(OSError):  # not empty: files of other programs are in it
                    folder.rmdir()
        self._remove_dangling_links()
        for digest in plan.retention.expired_digests:
            (self.places.own.path / "whole-bytes" / digest).unlink(missing_ok=True)
        for manifest in plan.retention.expired_manifests:
            deep_check_path(self.places, manifest.path.stem).unlink(missing_ok=True)
        for path in sorted(retired_folder(self.places).glob("*.json")):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            retired_folder(self.places).rmdir()

    def _retire(self, retention: RetentionDecision) -> None:
        """Move manifests and records out of the roots, and remove dead references."""
        folder = retired_folder(self.places)
        expired = [*(manifest.path for manifest in retention.expired_manifests), *retention.expired_records]
        if expired:
            atomic.make_folders(folder, self.places.boundary_of(folder))
        for path in expired:
            self.check_lease()
            rename(path, folder / path.name)
        for parent in {path.parent for path in expired}:
            sync_folder(parent)
        if expired:
            sync_folder(folder)
        for path in retention.dead_references:
            path.unlink(missing_ok=True)

    def _update_name(self, update: NameUpdate) -> None:
        path = update.path
        if path.parent == self.places.spacy.path:
            self._update_package_name(path, update.target)
        elif update.target is not None:
            update_main_ref(path.parents[1], update.target, self.places)
        else:
            path.unlink(missing_ok=True)
            # A ref that another project writes later must not look like ours.
            (self.places.own.path / "refs" / f"{path.parents[1].name}.json").unlink(missing_ok=True)

    def _update_package_name(self, name: Path, tree: str | None) -> None:
        packages = name.parent / PACKAGES
        if tree is not None:
            boundary = self.places.boundary_of(name)
            update_package_links(name.parent, packages / tree, package_of(tree), boundary)
        else:
            _remove(name)
            copy_marker(name).unlink(missing_ok=True)

    def _delete(self, deletion: Deletion) -> None:
        path = deletion.path
        if deletion.kind is ItemKind.STAGING and _is_in_use(path):
            return
        if deletion.kind in (ItemKind.PACKAGE, ItemKind.FORM):
            # Renamed first: a reader sees the whole tree or none.
            is_form = deletion.kind is ItemKind.FORM
            folder = path.parent if is_form else path.parent / ".staging"
            staging = folder / f"{'.' if is_form else ''}{path.name}{SWEPT_SUFFIX}"
            atomic.make_folders(folder, self.places.boundary_of(staging))
            _remove(staging)
            rename(path, staging)
            path = staging
        _remove(path)

    def _remove_dangling_links(self) -> None:
        """Remove links of ours whose target is gone."""
        remove_dangling_links(self.places)
        for link in self.places.spacy.path.glob("*"):
            if Path(atomic.read_relative_link(link)).parts[:1] == (PACKAGES,) and not link.exists():
                link.unlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _is_in_use(path: Path) -> bool:
    """Return whether a live process has locked a partial file, as one that lost its lease while it was suspended."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        return try_lock(descriptor) is LockResult.HELD_BY_ANOTHER
    finally:
        os.close(descriptor)
