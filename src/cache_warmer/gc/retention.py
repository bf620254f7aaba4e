"""Decide which generations and models are retained, and why.

All functions are pure: they derive a decision from the roots of a cache and the retention rules, and read no files.

A generation is retained if it is the current catalog's, if a live reference names it, or if it is one of the newest
others. A model is retained if a retained generation has it, or if the current catalog or a live reference names it.
Every file in the folder of a model that a live reference has begun to fetch is retained as well.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.gc.roots import FileKey, GcRoots, PublishedManifest

_CURRENT: Final = "the current catalog"
_NEWEST: Final = "one of the newest"


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """Rules for what must be retained.

    Attributes:
        generation: the current catalog's generation.
        digests: the digests of its models.
        keep: number of other generations to retain, newest first.
        dead_references: files of the references whose Deployment is gone.
    """

    generation: str
    digests: frozenset[str]
    keep: int
    dead_references: frozenset[Path] = frozenset()


@dataclass(frozen=True, slots=True)
class RetentionDecision:
    """Generations, models and files that are retained, and those that are not.

    Attributes:
        retained: the names of those who need a generation, by generation.
        expired_manifests: manifests that are removed.
        expired_records: model records that are removed.
        expired_digests: digests of the models that are not retained.
        retained_files: files that a retained model needs.
        known_files: files that the warmer wrote for any known model.
        dead_references: files of references that are removed.
        pending_folders: places and folders of the models that a live reference has begun to fetch.
    """

    retained: Mapping[str, tuple[str, ...]]
    expired_manifests: tuple[PublishedManifest, ...]
    expired_records: tuple[Path, ...]
    expired_digests: frozenset[str]
    retained_files: frozenset[FileKey]
    known_files: frozenset[FileKey]
    dead_references: tuple[Path, ...]
    pending_folders: frozenset[FileKey] = frozenset()


def decide_retention(roots: GcRoots, rules: RetentionRules) -> RetentionDecision:
    """Decide which generations, models and files are retained."""
    retained: dict[str, list[str]] = {}
    digests = set(rules.digests)
    pending: set[FileKey] = set()
    if any(manifest.generation == rules.generation for manifest in roots.manifests):
        retained[rules.generation] = [_CURRENT]
    for path, reference in roots.references.items():
        if path not in rules.dead_references:
            retained.setdefault(reference.generation, []).append(reference.name)
            digests |= set(reference.models.values())
            digests |= {model.digest for model in reference.pending}
            pending |= {(model.place, model.folder) for model in reference.pending}
    for manifest in _newest(roots.manifests, retained, rules.keep):
        retained[manifest.generation] = [_NEWEST]
    expired = []
    for manifest in roots.manifests:
        if manifest.generation in retained:
            digests |= manifest.digests
        else:
            expired.append(manifest)
    known = _files_of(roots, roots.files)
    return RetentionDecision(
        retained={generation: tuple(names) for generation, names in retained.items()},
        expired_manifests=tuple(expired),
        expired_records=tuple(
            path for digest, path in sorted(roots.records.items()) if digest not in digests
        ),
        expired_digests=frozenset(roots.files) - digests,
        retained_files=_files_of(roots, digests)
        | {key for key in known if any(_is_below(key, folder) for folder in pending)},
        known_files=known,
        dead_references=tuple(sorted(path for path in roots.references if path in rules.dead_references)),
        pending_folders=frozenset(pending),
    )


def _newest(
    manifests: Collection[PublishedManifest], retained: Collection[str], count: int
) -> list[PublishedManifest]:
    others = [manifest for manifest in manifests if manifest.generation not in retained]
    return sorted(others, key=lambda manifest: (-manifest.written, manifest.generation))[:count]


def _is_below(file: FileKey, folder: FileKey) -> bool:
    return file[0] is folder[0] and file[1].startswith(f"{folder[1]}/")


def _files_of(roots: GcRoots, digests: Collection[str]) -> frozenset[FileKey]:
    return frozenset(key for digest in digests for key in roots.files.get(digest, frozenset()))
