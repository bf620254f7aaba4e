"""Scan a whole cache once and make the plan of a garbage collection.

A scan reads only, so it needs no lease. `collect --apply` scans again while it holds the lease, because other writers
may have changed the cache in between.

On a host, a place that other users warm into is left out: their records are in their own home folders, so the files
that they need are not known here.

Where the file system ignores case, repositories whose names differ in case alone have one folder. They count as one, so
that what one of them needs is not deleted for the other.
"""

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from cache_warmer.artifacts.hf_layout import read_own_commits
from cache_warmer.gc.leftovers import MIN_AGE_SECONDS, find_leftovers
from cache_warmer.gc.packages import PackageRetention, plan_packages, scan_packages
from cache_warmer.gc.plan import Deletion, GcPlan, PlanSection
from cache_warmer.gc.prepared import plan_forms, retained_sources
from cache_warmer.gc.repositories import RepositoryRetention, plan_repository, scan_repository
from cache_warmer.gc.retention import RetentionDecision, RetentionRules, decide_retention
from cache_warmer.gc.roots import FileKey, GcRoots, read_roots
from cache_warmer.records import read_mtime
from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.catalog.lock import Lock
from model_cache.check.check import check
from model_cache.layout import PACKAGES, repository_folder, spacy_package_folder
from model_cache.places import HOST, Place, PlaceName, Places
from model_cache.reasons import Reason

# By the name of a repository's folder: paths below its `snapshots`. The keys of a dict, because their order matters.
_PathsByRepository: TypeAlias = dict[str, dict[str, None]]


def _is_same_folder(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:  # one of them does not exist
        return False


@dataclass(frozen=True, slots=True)
class Scanner:
    """Makes the plan of a garbage collection.

    Attributes:
        models: the models of the current catalog.
        places: the places of the cache.
        now: seconds since the epoch.
        uid: the id of this user; None where the system has no users.
        lock: of the current catalog.
        is_same_folder: returns whether two paths lead to one folder.
    """

    models: Sequence[Model]
    places: Places
    now: float
    uid: int | None
    lock: Lock | None = None
    is_same_folder: Callable[[Path, Path], bool] = _is_same_folder

    def scan(self, rules: RetentionRules) -> GcPlan:
        """Return the plan.

        Raises:
            ManifestInvalid: a manifest or a reference cannot be read.
            OSError: a file or a folder cannot be read.
        """
        roots = read_roots(self.places, self.models, self.lock)
        retention = decide_retention(roots, rules)
        newest_first = _retained_files(retention, roots)
        names = self._folder_names(retention)
        known = (
            {} if self._is_shared(self.places.hub) else _by_repository(sorted(retention.known_files), names)
        )
        sections = [
            *self._repositories(
                known, retention, newest_first, self._found(roots, retention.known_files), names
            ),
            self._packages(retention, newest_first, self._found(roots, retention.known_files)),
            plan_forms(
                self.places,
                retained_sources((*retention.retained_files, *retention.pending_folders), self.models),
            ),
            PlanSection(deletions=self._leftovers(known, retention)),
        ]
        return GcPlan(roots, retention, tuple(sections))

    @property
    def _on_host(self) -> bool:
        return self.places.label == HOST

    @property
    def _unreferenced_before(self) -> float | None:
        """Return the time before which unlisted files are garbage; None: never, because others may need them."""
        return None if self._on_host else self.now - MIN_AGE_SECONDS

    def _repositories(
        self,
        known: _PathsByRepository,
        retention: RetentionDecision,
        newest_first: Sequence[FileKey],
        found: frozenset[FileKey],
        names: Mapping[str, str],
    ) -> Iterable[PlanSection]:
        retained = _by_repository(retention.retained_files, names)
        ordered, found_paths = _by_repository(newest_first, names), _by_repository(found, names)
        pending_names = [folder.partition("/")[0] for _, folder in retention.pending_folders]
        pending = {names.get(name, name) for name in pending_names}
        for name, paths in known.items():
            yield plan_repository(
                scan_repository(self.places.hub.path / name),
                RepositoryRetention(
                    known=frozenset(paths) - frozenset(found_paths.get(name, ())),
                    retained=frozenset(retained.get(name, ())),
                    main=self._main_commit(name, ordered.get(name, {}), names),
                    own_main_commits=read_own_commits(self.places, name) if self._on_host else None,
                    unlinked_before=None if name in pending else self._unreferenced_before,
                    found=frozenset(found_paths.get(name, ())),
                ),
            )

    def _found(self, roots: GcRoots, known: Iterable[FileKey]) -> frozenset[FileKey]:
        """Return the known files that the warmer did not fetch, or that somebody replaced since: on a host only.

        A cache of our own is ours as a whole.
        """
        if not self._on_host:
            return frozenset()
        return frozenset(
            (place, path)
            for place, path in known
            if (mtime := read_mtime(f"{self.places.of(place).path}/{path}")) is not None
            and mtime not in roots.fetched.get((place, path), frozenset())
        )

    def _folder_names(self, retention: RetentionDecision) -> Mapping[str, str]:
        """Return, for each further name of one folder of a repository, its first name."""
        sources = [model.source for model in self.models if isinstance(model.source, HuggingFaceSource)]
        found = {
            *_by_repository(retention.known_files),
            *(folder.partition("/")[0] for _, folder in retention.pending_folders),
            *(str(repository_folder(source.repository)) for source in sources),
        }
        first: dict[str, str] = {}
        names: dict[str, str] = {}
        for name in sorted(found):
            other = first.setdefault(name.casefold(), name)
            hub = self.places.hub.path
            if other != name and self.is_same_folder(hub / other, hub / name):
                names[name] = other
        return names

    def _main_commit(self, name: str, newest_first: Iterable[str], names: Mapping[str, str]) -> str | None:
        """Return the new commit of `refs/main`: the catalog's, else that of the newest retained generation."""
        retained = list(dict.fromkeys(path.partition("/")[0] for path in newest_first))
        current = [
            model.source.revision
            for model in self.models
            if isinstance(model.source, HuggingFaceSource)
            and (folder := str(repository_folder(model.source.repository)))
            and names.get(folder, folder) == name
        ]
        candidates = [*(commit for commit in current if commit in retained), *retained]
        snapshots = self.places.hub.path / name / "snapshots"
        return next((commit for commit in candidates if (snapshots / commit).is_dir()), None)

    def _packages(
        self, retention: RetentionDecision, newest_first: Sequence[FileKey], found: frozenset[FileKey]
    ) -> PlanSection:
        if self._is_shared(self.places.spacy):
            return PlanSection()
        current = [
            spacy_package_folder(model.source).name
            for model in self.models
            if not isinstance(model.source, HuggingFaceSource)
        ]
        pending = {PurePosixPath(folder).name for _, folder in retention.pending_folders}
        retained = frozenset(_package_trees(retention.retained_files)) | pending
        by_preference = dict.fromkeys([*current, *_package_trees(newest_first)])
        return plan_packages(
            scan_packages(self.places.spacy.path),
            PackageRetention(
                known=frozenset(_package_trees(retention.known_files)),
                found=frozenset(_package_trees(found)),
                retained=retained,
                preferred=tuple(tree for tree in by_preference if tree in retained),
                uid=self.uid if self._on_host else None,
                unlisted_before=self._unreferenced_before,
            ),
        )

    def _leftovers(self, repositories: Iterable[str], retention: RetentionDecision) -> tuple[Deletion, ...]:
        resumable = [
            self.places.of(place).path / folder.partition("/")[0]
            for place, folder in retention.pending_folders
        ]
        if check(self.models, self.places, whole_catalog=False, lock=self.lock).reason is not Reason.OK:
            sources = (model.source for model in self.models)
            resumable += [
                self.places.spacy.path / PACKAGES,
                *(
                    self.places.hub.path / repository_folder(source.repository)
                    for source in sources
                    if isinstance(source, HuggingFaceSource)
                ),
            ]
        folders = [self.places.hub.path / name for name in repositories]
        return find_leftovers(self.places, folders, resumable, self.now - MIN_AGE_SECONDS, self.uid)

    def _is_shared(self, place: Place) -> bool:
        """Return whether, on a host, other users warm into this place."""
        if not self._on_host or self.uid is None or not place.path.is_dir():
            return False
        found = place.path.stat()
        for_group = found.st_mode & stat.S_ISGID and found.st_mode & stat.S_IWGRP
        return found.st_uid != self.uid or bool(for_group or found.st_mode & stat.S_IWOTH)


def _retained_files(retention: RetentionDecision, roots: GcRoots) -> list[FileKey]:
    """Return the retained files, those of the newest generation first."""
    manifests = [manifest for manifest in roots.manifests if manifest.generation in retention.retained]
    ordered: dict[FileKey, None] = {}
    for manifest in sorted(manifests, key=lambda manifest: -manifest.written):
        for digest in sorted(manifest.digests):
            ordered |= dict.fromkeys(sorted(roots.files[digest]))
    return [*ordered, *sorted(retention.retained_files - set(ordered))]


def _by_repository(files: Iterable[FileKey], names: Mapping[str, str] | None = None) -> _PathsByRepository:
    found: _PathsByRepository = {}
    for place, path in files:
        name, _, rest = path.partition("/")
        name = (names or {}).get(name, name)
        if place is PlaceName.HUB and rest.startswith("snapshots/"):
            found.setdefault(name, {})[rest.removeprefix("snapshots/")] = None
    return found


def _package_trees(files: Iterable[FileKey]) -> list[str]:
    paths = (PurePosixPath(path).parts for place, path in files if place is PlaceName.SPACY)
    return list(dict.fromkeys(parts[1] for parts in paths if len(parts) > 2 and parts[0] == PACKAGES))
