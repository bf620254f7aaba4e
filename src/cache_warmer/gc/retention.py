"""Decides which generations and models are kept, and why. Pure: promises in, a decision out.

What one look at a cache found: what is promised, what is kept and why, and everything that could go.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.gc.plan import Findings, Going, Held
from cache_warmer.gc.roots import FileKey, GcRoots, Published


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """Who needs what.

    Attributes:
        generation, digests: of the catalog that the command was given.
        keep: how many of the other generations stay, newest first.
        dead: files of references whose release is gone.
    """

    generation: str
    digests: frozenset[str]
    keep: int
    dead: frozenset[Path] = frozenset()


@dataclass(frozen=True, slots=True)
class Kept:
    """The decision.

    Attributes:
        why: of each generation that stays, who needs it.
        going: the manifests that go.
        going_records: the model records that go.
        kept_files: that some kept model needs.
        known_files: that any of our catalogs ever brought, as far as it is known.
        going_digests: of the models that nobody needs.
        references: files of references that go.
    """

    why: Mapping[str, tuple[str, ...]]
    going: tuple[Published, ...]
    going_records: tuple[Path, ...]
    kept_files: frozenset[FileKey]
    known_files: frozenset[FileKey]
    going_digests: frozenset[str]
    references: tuple[Path, ...]


def decide(promises: GcRoots, needs: RetentionRules) -> Kept:
    """Return what is kept and what goes."""
    why: dict[str, list[str]] = {}
    digests = set(needs.digests)
    if any(one.generation == needs.generation for one in promises.manifests):
        why[needs.generation] = ["the present catalog"]
    for path, reference in promises.references.items():
        if path not in needs.dead:
            why.setdefault(reference.generation, []).append(reference.name)
            digests |= set(reference.models.values())
    for one in _newest(promises.manifests, why, needs.keep):
        why[one.generation] = ["one of the last"]
    going = []
    for one in promises.manifests:
        if one.generation in why:
            digests |= one.digests
        else:
            going.append(one)
    return Kept(
        why={generation: tuple(names) for generation, names in why.items()},
        going=tuple(going),
        going_records=tuple(
            path for digest, path in sorted(promises.records.items()) if digest not in digests
        ),
        kept_files=_files(promises, digests),
        known_files=_files(promises, promises.files),
        going_digests=frozenset(promises.files) - digests,
        references=tuple(sorted(path for path in promises.references if path in needs.dead)),
    )


def _newest(manifests: Collection[Published], kept: Collection[str], count: int) -> list[Published]:
    others = [one for one in manifests if one.generation not in kept]
    return sorted(others, key=lambda one: (-one.written, one.generation))[:count]


def _files(promises: GcRoots, digests: Collection[str]) -> frozenset[FileKey]:
    return frozenset(key for digest in digests for key in promises.files.get(digest, frozenset()))


@dataclass(frozen=True, slots=True)
class GcPlan:
    """The promises, the decision over them, and what follows from it, in the order in which it is done."""

    promises: GcRoots
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
