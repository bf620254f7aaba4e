"""What the warmer knows of a model, whatever its source: an artifact.

Hugging Face snapshots and spaCy packages are equals. Each answers the same five questions, so that plan,
preflight, transfer, records and (later) repair, collect and export are written once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from model_cache.catalog.catalog import Model
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import PlaceName


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file's content must be. None: not known.

    Attributes:
        bytes: its size.
        sha256: of the content, 64 lower-case hex digits.
        git_sha1: of the git blob (its size, then the content), 40 lower-case hex digits.
        said_by: who says so, for messages: `lock`, `hub`, `catalog`.
    """

    bytes: int | None
    sha256: str | None
    git_sha1: str | None
    said_by: str


@dataclass(frozen=True, slots=True)
class Download:
    """One body to fetch.

    Attributes:
        name: path in the repository, or the wheel's name.
        url: where; never shown without `urls.redacted`.
        headers: sent with the request; an Authorization goes to the hub's own host only.
        expected: what must arrive.
        staging: where it grows; in the same place as its final name, so that it can be renamed.
        label: of the model and file, for messages: `org/name: config.json`.
        git_blob: git's name of what the repository stores (content, or pointer of a big file); None elsewhere.
    """

    name: str
    url: str
    headers: Mapping[str, str]
    expected: Expected
    staging: Path
    label: str
    git_blob: str | None = None


@dataclass(frozen=True, slots=True)
class Staged:
    """A body that arrived and was verified: its file, size and sha256."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a source offers of what the catalog selects.

    Attributes:
        downloads: every selected file, there already or not, in order of name.
        whole_repository_bytes: of all files of the repository; None if not known.
        compared_with: whom the content is compared with: `lock`, `hub` or `catalog`.
    """

    downloads: tuple[Download, ...]
    whole_repository_bytes: int | None
    compared_with: str


@dataclass(frozen=True, slots=True)
class Holding:
    """What of it is in the cache: the verified records there are, and the downloads that are missing."""

    present: tuple[tuple[Download, tuple[FileRecord, ...]], ...]
    missing: tuple[Download, ...]


@dataclass(frozen=True, slots=True)
class SpaceNeeded:
    """What the missing downloads need in a place, on top of what is staged there."""

    place: PlaceName
    bytes: int
    inodes: int


# Called with the number of bytes done since the last call.
Progress = Callable[[int], None]

# Reads a file: (path, size) to (sha256, git sha1).
HashFile = Callable[[Path, int], tuple[str, str]]


class Artifact(Protocol):
    """One model of the catalog as it is stored."""

    @property
    def model(self) -> Model:
        """The catalog's entry."""
        ...

    def resolve(self) -> Wanted:
        """Ask the source what there is to fetch. Raises `HubError`."""
        ...

    def look(
        self,
        wanted: Wanted,
        record: ModelRecord | None,
        hash_file: HashFile | None,
        wrong: frozenset[str] = frozenset(),
    ) -> Holding:
        """Return what is there already.

        A file of the record counts by its size, unless it is `wrong`: among the paths (as `record_path` makes
        them) that a check found damaged. One that no record knows, and a wrong one, is read by `hash_file`; with None
        (a plan) the size alone counts.
        """
        ...

    def room(self, missing: tuple[Download, ...]) -> SpaceNeeded:
        """Return what these downloads will take."""
        ...

    def writes_to(self, missing: tuple[Download, ...]) -> frozenset[Path]:
        """Return the folders that these downloads will be written to; they need not exist."""
        ...

    def accept(
        self, same: tuple[Download, ...], staged: Staged, *, shared: bool = False
    ) -> tuple[FileRecord, ...]:
        """Move a verified body to its final names, or unpack it; return the records of what it became.

        `same` are the downloads that share this staging file: one content under several names. With `shared`
        another artifact accepts the same body after this one, so it must stay within its reach.
        """
        ...

    def settle(self, wanted: Wanted) -> None:
        """Write what libraries want beside the files (the hub's list of a commit)."""
        ...

    def relist(self, files: tuple[FileRecord, ...]) -> None:
        """Write what `settle` wrote, if it is gone or damaged, from the verified files; asks nobody."""
        ...

    def update_refs(self) -> None:
        """Point the mutable names (`refs/main`, links to the current package) at this model, if ours."""
        ...
