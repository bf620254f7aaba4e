"""One look at a cache with all that could go, and the deletion of it: promises first, so that none is broken.

It can be killed anywhere, and the next run ends it: what is about to go is moved aside as a promise, then names that
would dangle are moved, then blobs go before the links by which they are found, and last what was moved aside.
"""

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cache_warmer.artifacts.package_links import PACKAGES, point_package
from cache_warmer.artifacts.references import point_reference
from cache_warmer.collecting.findings import Findings, Going, Held, Kind, NameMove
from cache_warmer.collecting.keeping import Kept, Needs, decide
from cache_warmer.collecting.leftovers import COLLECTED, OLD_SECONDS, leftovers
from cache_warmer.collecting.packages import TreeWishes, judge_packages, look_at_packages, package_of
from cache_warmer.collecting.promises import Promises, aside_folder, read_promises
from cache_warmer.collecting.repository import Wishes, judge, look_at_repository
from cache_warmer.disk import durable
from cache_warmer.disk.file_lock import LockResult, try_lock
from model_cache.catalog import HuggingFaceSource, Model
from model_cache.check import check
from model_cache.layout import repository_folder, snapshot_folder, spacy_tree
from model_cache.places import HOST, Place, PlaceName, Places
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class Collection:
    """What could go, and what is kept."""

    promises: Promises
    kept: Kept
    findings: tuple[Findings, ...]

    @property
    def going(self) -> tuple[Going, ...]:
        """Everything to delete, in the order of deletion."""
        return tuple(one for found in self.findings for one in found.going)

    @property
    def held(self) -> tuple[Held, ...]:
        """What stays for somebody else."""
        return tuple(one for found in self.findings for one in found.held)

    @property
    def bytes(self) -> int:
        """What deleting it frees."""
        return sum(one.bytes for one in self.going)


@dataclass(frozen=True, slots=True)
class Collecting:
    """Looks and deletes.

    Attributes:
        models: of the catalog that the command was given.
        places: of the cache.
        now: seconds since the epoch.
        uid: of this user; None where the system has none.
        keep_going: called before each deletion; raises when the lease is lost.
    """

    models: Sequence[Model]
    places: Places
    now: float
    uid: int | None
    keep_going: Callable[[], None]

    def look(self, needs: Needs) -> Collection:
        """Return what could go. Reads only. Raises ``ManifestInvalid``, ``OSError``."""
        promises = read_promises(self.places)
        kept = decide(promises, needs)
        found = [self._repository(name, kept, promises) for name in self._repositories(kept)]
        found.append(self._packages(kept, promises))
        found.append(Findings(going=self._leftovers(kept)))
        return Collection(promises, kept, tuple(found))

    def apply(self, collection: Collection) -> None:
        """Delete it, under the lease. Raises ``OSError``, ``LeaseLost``."""
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

    @property
    def _on_host(self) -> bool:
        return self.places.label == HOST

    @property
    def _old(self) -> float | None:
        return None if self._on_host else self.now - OLD_SECONDS

    def _repositories(self, kept: Kept) -> list[str]:
        if self._is_shared(self.places.hub):
            return []
        return sorted({path.partition("/")[0] for place, path in kept.known_files if place is PlaceName.HUB})

    def _repository(self, name: str, kept: Kept, promises: Promises) -> Findings:
        folder = self.places.hub.path / name
        prefix = f"{name}/snapshots/"

        def below(files: frozenset[tuple[PlaceName, str]]) -> frozenset[str]:
            return frozenset(
                path.removeprefix(prefix)
                for place, path in files
                if place is PlaceName.HUB and path.startswith(prefix)
            )

        return judge(
            look_at_repository(folder),
            Wishes(
                known=below(kept.known_files),
                kept=below(kept.kept_files),
                main=self._main(name, kept, promises),
                ours=self._noted(name) if self._on_host else None,
                old=self._old,
            ),
        )

    def _main(self, name: str, kept: Kept, promises: Promises) -> str | None:
        """Return the commit that ``refs/main`` shall name: the catalog's, else that of the newest kept generation."""
        wanted = [
            f"{folder}/"
            for model in self.models
            if isinstance(model.source, HuggingFaceSource)
            and str(folder := snapshot_folder(model.source)).startswith(f"{name}/")
        ]
        paths = [path for files in self._newest_files(kept, promises) for _, path in sorted(files)]
        ordered = [*(path for path in paths if path.startswith(tuple(wanted))), *paths]
        commits = [PurePosixPath(path).parts[2] for path in ordered if path.startswith(f"{name}/snapshots/")]
        there = self.places.hub.path / name / "snapshots"
        return next((commit for commit in dict.fromkeys(commits) if (there / commit).is_dir()), None)

    def _newest_files(self, kept: Kept, promises: Promises) -> list[frozenset[tuple[PlaceName, str]]]:
        manifests = [one for one in promises.manifests if one.generation in kept.why]
        newest = sorted(manifests, key=lambda one: -one.written)
        by_generation = [
            frozenset(key for digest in one.digests for key in promises.files[digest]) for one in newest
        ]
        return [*by_generation, kept.kept_files]

    def _packages(self, kept: Kept, promises: Promises) -> Findings:
        if self._is_shared(self.places.spacy):
            return Findings()
        present = [
            str(spacy_tree(model.source))
            for model in self.models
            if not isinstance(model.source, HuggingFaceSource)
        ]
        kept_trees = _trees(kept.kept_files)
        newest = [tree for files in self._newest_files(kept, promises) for tree in sorted(_trees(files))]
        preferred = dict.fromkeys([*(PurePosixPath(tree).name for tree in present), *newest])
        return judge_packages(
            look_at_packages(self.places.spacy.path),
            TreeWishes(
                known=_trees(kept.known_files),
                kept=kept_trees,
                preferred=tuple(tree for tree in preferred if tree in kept_trees),
                user=self.uid if self._on_host else None,
                old=self._old,
            ),
        )

    def _leftovers(self, kept: Kept) -> tuple[Going, ...]:
        whole = check(self.models, self.places, whole_catalog=False).reason is Reason.OK
        repositories = [self.places.hub.path / name for name in self._repositories(kept)]
        needed = [] if whole else [self.places.spacy.path / PACKAGES, *(
            self.places.hub.path / repository_folder(model.source.repository)
            for model in self.models
            if isinstance(model.source, HuggingFaceSource)
        )]  # fmt: skip
        return leftovers(self.places, repositories, needed, self.now - OLD_SECONDS, self.uid)

    def _noted(self, name: str) -> frozenset[str]:
        """Return the commits that we let a repository's ``refs/main`` name, as ``references`` notes them."""
        try:
            commits = json.loads((self.places.own.path / "refs" / f"{name}.json").read_bytes())
        except (OSError, ValueError):
            return frozenset()
        return frozenset(commit for commit in commits if isinstance(commit, str))

    def _is_shared(self, place: Place) -> bool:
        """Whether, on a host, others warm into this place, whose records we cannot see."""
        if not self._on_host or self.uid is None or not place.path.is_dir():
            return False
        state = place.path.stat()
        for_group = state.st_mode & stat.S_ISGID and state.st_mode & stat.S_IWGRP
        return state.st_uid != self.uid or bool(for_group or state.st_mode & stat.S_IWOTH)

    def _put_aside(self, kept: Kept) -> None:
        folder = aside_folder(self.places)
        going = [*(one.path for one in kept.going), *kept.going_records]
        if going:
            durable.make_folders(folder)
        for path in going:
            self.keep_going()
            os.replace(path, folder / path.name)
        for parent in {path.parent for path in going}:
            durable.sync_folder(parent)
        if going:
            durable.sync_folder(folder)
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
            durable.make_folders(staging.parent)
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


def _trees(files: frozenset[tuple[PlaceName, str]]) -> frozenset[str]:
    parts = (PurePosixPath(path).parts for place, path in files if place is PlaceName.SPACY)
    return frozenset(part[1] for part in parts if len(part) > 2 and part[0] == PACKAGES)


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
