"""The plan of a garbage collection, as plain values: deletions, name updates and holds.

`scan` makes the plan without changing the cache, `report` shows it, and `sweep` carries it out in its order.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from cache_warmer.gc.retention import RetentionDecision
from cache_warmer.gc.roots import GcRoots


class ItemKind(StrEnum):
    """Kind of a deleted item. The values are those of the report."""

    # A content file below `blobs` of a hub repository.
    BLOB = "blob"
    # A file or link below `snapshots` of a hub repository.
    FILE = "file"
    # The tree of a spaCy package.
    PACKAGE = "package"
    # A prepared form of a model.
    FORM = "form"
    # The hub client's list of a commit: `trees/<commit>.json`.
    LIST = "list"
    # The partial file, or partial tree, of a transfer.
    STAGING = "staging"
    # A temporary file, or the probe of a volume.
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True)
class Deletion:
    """One item to delete. The fields are those of the report.

    Attributes:
        kind: its kind.
        path: a file, a link, or (`PACKAGE`, `FORM`, `STAGING`) a folder.
        bytes: the bytes that deleting it frees.
        why: the reason, for people.
    """

    kind: ItemKind
    path: Path
    bytes: int
    why: str


@dataclass(frozen=True, slots=True)
class NameUpdate:
    """A name whose target is deleted: it is pointed at another target first.

    Attributes:
        path: `refs/main` of a repository, or the link (or copy) of a package.
        target: the new commit or package tree; None: the name is removed.
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
    """An item that no retained generation needs, and that is kept because others use it.

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
        deletions: items to delete.
        empty_folders: folders to remove afterwards if they are empty then, inner ones first.
        holds: items that are kept for others.
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
        roots: the roots of the cache.
        retention: the decision about them.
        sections: the steps that follow from it, in the order of execution.
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
        """Return the items that are kept because others use them."""
        return tuple(hold for section in self.sections for hold in section.holds)

    @property
    def freed_bytes(self) -> int:
        """Return the bytes that all deletions together free."""
        return sum(deletion.bytes for deletion in self.deletions)
