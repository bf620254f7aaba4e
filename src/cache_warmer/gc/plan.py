"""The plan of a garbage collection, as plain values: what is deleted, which names move, and what is left alone.

`scan` makes it without changing the cache, `report` shows it, and `sweep` carries it out in the order that it has.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from cache_warmer.gc.retention import RetentionDecision
from cache_warmer.gc.roots import GcRoots


class ItemKind(StrEnum):
    """What a deleted thing is. The values are those of the report."""

    # A content file below `blobs` of a hub repository.
    BLOB = "blob"
    # A file or link below `snapshots` of a hub repository.
    FILE = "file"
    # The tree of a spaCy package.
    PACKAGE = "package"
    # The hub client's list of a commit: `trees/<commit>.json`.
    LIST = "list"
    # The partial file, or partial tree, of a transfer.
    STAGING = "staging"
    # A temporary file, or the probe of a volume.
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True)
class Deletion:
    """One thing to delete. The fields are those of the report.

    Attributes:
        kind: what it is.
        path: a file, a link, or (`PACKAGE`, `STAGING`) a folder.
        bytes: what deleting it frees.
        why: the reason, for people.
    """

    kind: ItemKind
    path: Path
    bytes: int
    why: str


@dataclass(frozen=True, slots=True)
class NameUpdate:
    """A name whose target is deleted, and that gets another one first.

    Attributes:
        path: `refs/main` of a repository, or the link (or copy) of a package.
        target: the commit or the package tree that it names next; None: the name is removed.
    """

    path: Path
    target: str | None


@dataclass(frozen=True, slots=True)
class TreeListUpdate:
    """The hub client's list of a commit that stays, some of whose files are deleted.

    Attributes:
        snapshot: folder of the commit in the hub place.
        gone: names of the deleted files below it.
    """

    snapshot: PurePosixPath
    gone: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hold:
    """Something that no retained generation needs, and that is kept because others use it.

    Attributes:
        path: a snapshot, or the tree of a package.
        why: the reason, for people.
    """

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class PlanSection:
    """The part of a plan for one repository, for the packages or for leftovers, in the order of execution.

    Attributes:
        name_updates: names to move.
        deletions: things to delete.
        empty_folders: folders to remove afterwards if they are empty then, inner ones first.
        holds: what is left alone.
        tree_list_updates: lists to write again, before the deletions.
    """

    name_updates: tuple[NameUpdate, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    empty_folders: tuple[Path, ...] = ()
    holds: tuple[Hold, ...] = ()
    tree_list_updates: tuple[TreeListUpdate, ...] = ()


@dataclass(frozen=True, slots=True)
class GcPlan:
    """The plan of one garbage collection.

    Attributes:
        roots: what the cache references.
        retention: the decision over it.
        sections: what follows from it, in the order of execution.
    """

    roots: GcRoots
    retention: RetentionDecision
    sections: tuple[PlanSection, ...]

    @property
    def deletions(self) -> tuple[Deletion, ...]:
        """Return everything to delete, in the order of deletion."""
        return tuple(deletion for section in self.sections for deletion in section.deletions)

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Return what is left alone because others use it."""
        return tuple(hold for section in self.sections for hold in section.holds)

    @property
    def freed_bytes(self) -> int:
        """Return what all deletions together free."""
        return sum(deletion.bytes for deletion in self.deletions)
