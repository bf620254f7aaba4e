"""Values that describe a download: what to fetch, what must arrive, and what did arrive.

Artifacts build `Download`s from what the hub, the lock and the catalog say; the transfer turns each into a
`StagedBody`. This module imports nothing of either side, so both depend on it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_cache.containment import CacheBoundary

# Called with the number of bytes done since the last call; negative when bytes are discarded.
ProgressCallback = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class ExpectedContent:
    """What the content of a file must be. None means not known.

    Attributes:
        bytes: its size.
        sha256: of the content, 64 lower-case hex digits.
        git_sha1: of the git blob (its size, then the content), 40 lower-case hex digits.
        source: where these values come from, for messages: `lock`, `hub` or `catalog`.
    """

    bytes: int | None
    sha256: str | None
    git_sha1: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Download:
    """One body to fetch.

    Attributes:
        name: path in the repository, or the file name of the wheel.
        url: address of the body; shown only after `model_cache.urls.redacted`.
        headers: sent with the request; an Authorization header goes to the hub's own host only.
        expected: what must arrive.
        staging: file in which the body grows; in the same folder as its final name, so that it can be renamed.
        boundary: what the staging file's folder must not leave.
        label: model and file, for messages: `org/name: config.json`.
        git_blob: git's name of what the repository stores (the content, or the pointer of a big file); None where
            there is no repository.
    """

    name: str
    url: str
    headers: Mapping[str, str]
    expected: ExpectedContent
    staging: Path
    boundary: CacheBoundary
    label: str
    git_blob: str | None = None


@dataclass(frozen=True, slots=True)
class StagedBody:
    """A body that was fetched and verified: its staging file, size in bytes and sha256."""

    path: Path
    bytes: int
    sha256: str
