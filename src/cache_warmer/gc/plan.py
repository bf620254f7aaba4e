"""What a collection would do, as plain values: what goes, which names move, and what stays for somebody else."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """What a thing is, for the table."""

    BLOB = "blob"
    FILE = "file"
    PACKAGE = "package"
    LIST = "list"
    STAGING = "staging"
    LEFTOVER = "leftover"


@dataclass(frozen=True, slots=True)
class Going:
    """One thing to delete: a file, a link, or (`PACKAGE`, `STAGING`) a folder. `bytes`: what that frees."""

    kind: Kind
    path: Path
    bytes: int
    why: str


@dataclass(frozen=True, slots=True)
class NameMove:
    """A name that would dangle: `refs/main` gets another commit, a package's links another tree; None: it goes."""

    path: Path
    to: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """Something that none of our releases needs and that stays all the same, with why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Of one repository, or of the packages: in the order in which it is done."""

    moves: tuple[NameMove, ...] = ()
    going: tuple[Going, ...] = ()
    # Folders to remove afterwards, if they are empty then; inner ones first.
    empty: tuple[Path, ...] = ()
    held: tuple[Held, ...] = ()
