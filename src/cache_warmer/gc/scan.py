"""Looks at a whole cache once and says what could go. Reads only, so it needs no lease."""

import json
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from cache_warmer.artifacts.package_links import PACKAGES
from cache_warmer.gc.leftovers import OLD_SECONDS, leftovers
from cache_warmer.gc.packages import TreeWishes, judge_packages, look_at_packages
from cache_warmer.gc.plan import Findings, Going
from cache_warmer.gc.repositories import Wishes, judge, look_at_repository
from cache_warmer.gc.retention import GcPlan, Kept, RetentionRules, decide
from cache_warmer.gc.roots import FileKey, GcRoots, read_promises
from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.check.check import check
from model_cache.layout import repository_folder, spacy_tree
from model_cache.places import HOST, Place, PlaceName, Places
from model_cache.reasons import Reason

# Repositories by folder: their paths below `snapshots`, in an order.
_Parts = dict[str, dict[str, None]]


@dataclass(frozen=True, slots=True)
class Scanner:
    """Looks.

    Attributes:
        models: of the catalog that the command was given.
        places: of the cache.
        now: seconds since the epoch.
        uid: of this user; None where the system has none.
    """

    models: Sequence[Model]
    places: Places
    now: float
    uid: int | None

    def look(self, needs: RetentionRules) -> GcPlan:
        """Return what could go. Raises `ManifestInvalid`, `OSError`."""
        promises = read_promises(self.places)
        kept = decide(promises, needs)
        newest = _newest_files(kept, promises)
        repositories = {} if self._is_shared(self.places.hub) else _by_repository(sorted(kept.known_files))
        found = [*self._repositories(repositories, kept, newest), self._packages(kept, newest)]
        found.append(Findings(going=self._leftovers(repositories)))
        return GcPlan(promises, kept, tuple(found))

    @property
    def _on_host(self) -> bool:
        return self.places.label == HOST

    @property
    def _old(self) -> float | None:
        return None if self._on_host else self.now - OLD_SECONDS

    def _repositories(self, known: _Parts, kept: Kept, newest: Sequence[FileKey]) -> Iterable[Findings]:
        needed, ordered = _by_repository(kept.kept_files), _by_repository(newest)
        for name, paths in known.items():
            yield judge(
                look_at_repository(self.places.hub.path / name),
                Wishes(
                    known=frozenset(paths),
                    kept=frozenset(needed.get(name, ())),
                    main=self._main(name, ordered.get(name, {})),
                    ours=self._noted(name) if self._on_host else None,
                    old=self._old,
                ),
            )

    def _main(self, name: str, newest: Iterable[str]) -> str | None:
        """Return the commit that `refs/main` shall name: the catalog's, else that of the newest kept generation."""
        commits = list(dict.fromkeys(path.partition("/")[0] for path in newest))
        present = [
            model.source.revision
            for model in self.models
            if isinstance(model.source, HuggingFaceSource)
            and str(repository_folder(model.source.repository)) == name
        ]
        there = self.places.hub.path / name / "snapshots"
        ordered = [*(commit for commit in present if commit in commits), *commits]
        return next((commit for commit in ordered if (there / commit).is_dir()), None)

    def _packages(self, kept: Kept, newest: Sequence[FileKey]) -> Findings:
        if self._is_shared(self.places.spacy):
            return Findings()
        present = [
            spacy_tree(model.source).name
            for model in self.models
            if not isinstance(model.source, HuggingFaceSource)
        ]
        needed = frozenset(_trees(kept.kept_files))
        return judge_packages(
            look_at_packages(self.places.spacy.path),
            TreeWishes(
                known=frozenset(_trees(kept.known_files)),
                kept=needed,
                preferred=tuple(
                    tree for tree in dict.fromkeys([*present, *_trees(newest)]) if tree in needed
                ),
                user=self.uid if self._on_host else None,
                old=self._old,
            ),
        )

    def _leftovers(self, repositories: Iterable[str]) -> tuple[Going, ...]:
        needed = []
        if check(self.models, self.places, whole_catalog=False).reason is not Reason.OK:
            sources = (model.source for model in self.models)
            needed = [
                self.places.spacy.path / PACKAGES,
                *(
                    self.places.hub.path / repository_folder(source.repository)
                    for source in sources
                    if isinstance(source, HuggingFaceSource)
                ),
            ]
        folders = [self.places.hub.path / name for name in repositories]
        return leftovers(self.places, folders, needed, self.now - OLD_SECONDS, self.uid)

    def _noted(self, name: str) -> frozenset[str]:
        """Return the commits that we let a repository's `refs/main` name, as `references` notes them."""
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


def _newest_files(kept: Kept, promises: GcRoots) -> list[FileKey]:
    """The files that are kept, those of the newest generation first."""
    manifests = [one for one in promises.manifests if one.generation in kept.why]
    ordered: dict[FileKey, None] = {}
    for one in sorted(manifests, key=lambda one: -one.written):
        for digest in sorted(one.digests):
            ordered |= dict.fromkeys(sorted(promises.files[digest]))
    return [*ordered, *sorted(kept.kept_files - set(ordered))]


def _by_repository(files: Iterable[FileKey]) -> _Parts:
    found: _Parts = {}
    for place, path in files:
        name, _, rest = path.partition("/")
        if place is PlaceName.HUB and rest.startswith("snapshots/"):
            found.setdefault(name, {})[rest.removeprefix("snapshots/")] = None
    return found


def _trees(files: Iterable[FileKey]) -> list[str]:
    parts = (PurePosixPath(path).parts for place, path in files if place is PlaceName.SPACY)
    return list(dict.fromkeys(part[1] for part in parts if len(part) > 2 and part[0] == PACKAGES))
