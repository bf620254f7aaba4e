"""Artifact: the interface to one model as it is stored, for all sources.

Hugging Face snapshots (`hf_snapshot`) and spaCy packages (`spacy_package`) implement it, so that survey, preflight,
transfer and records are written once. A warm run calls the methods in this order:

1. `resolve`: ask the source which files there are, or take the lock's word for it.
2. `inspect_cache`: find out which of them the cache has.
3. `space_needed`, `target_folders`, `name_folders`: what the missing ones need, for the preflight.
4. `locate`: where to fetch a missing one from; makes no request.
   `install`: once per downloaded body, in a thread of the pool; bodies of one model may arrive in parallel.
5. `record_model`, once all files are there: `update_file_list`, which libraries expect beside them, and the record.
6. `update_refs`: the mutable names.

Only `resolve` talks to the network. Every step can be repeated after a crash.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cache_warmer.disk.preflight import SpaceNeeded
from cache_warmer.records import make_record, write_record, write_repository_bytes
from cache_warmer.transfer.download import Download, StagedBody
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import Model
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import Places

# Reads a file: (path, size in bytes) to (sha256, git's sha1).
HashFile = Callable[[Path, int], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Resolution:
    """Files that a source offers of those that the catalog selects.

    Attributes:
        downloads: every selected file, whether cached or not, sorted by name.
        whole_repository_bytes: size of all files of the repository; None if not known.
        compared_with: what the content is compared with: `lock`, `hub` or `catalog`.
    """

    downloads: tuple[Download, ...]
    whole_repository_bytes: int | None
    compared_with: str


@dataclass(frozen=True, slots=True)
class CacheState:
    """Which of the resolved files the cache has.

    Attributes:
        present: each cached download with the verified records of the files that it became.
        missing: the downloads to fetch.
        installed: those of the present files that the inspection itself wrote, from a package that pip installed.
    """

    present: tuple[tuple[Download, tuple[FileRecord, ...]], ...]
    missing: tuple[Download, ...]
    installed: tuple[FileRecord, ...] = ()


class WriteRight(Protocol):
    """The right of this run to publish, which ends with its lease or when the run is stopped."""

    def check(self) -> None:
        """Raise `Interrupted` if the run was stopped."""
        ...

    def publishing(self) -> AbstractContextManager[None]:
        """Enter a block that gives something its final name; the lease is held until the block ends.

        Raises:
            Interrupted: the run was stopped.
            LeaseLost: another process has the lease.
        """
        ...


@dataclass(frozen=True, slots=True)
class UnderLease:
    """The right of a run that can be stopped, as that of the threads of the pool, while its lease holds.

    Attributes:
        stop: stops the run.
        check_lease: raises `LeaseLost` if another process has the lease.
    """

    stop: Stop
    check_lease: Callable[[], None]

    def check(self) -> None:
        """Raise `Interrupted` if the run was stopped."""
        self.stop.check()

    def publishing(self) -> AbstractContextManager[None]:
        """Require the lease; `Stop.drained` waits for the end of the block."""
        self.check_lease()
        return self.stop.publishing()


class MainThread:
    """The right of the thread that holds the lease: it cannot outlive it, and signals reach it directly."""

    def check(self) -> None:
        """Do nothing."""

    def publishing(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


class Artifact(Protocol):
    """One model of the catalog as it is stored."""

    @property
    def model(self) -> Model:
        """The entry of the catalog."""
        ...

    def resolve(self) -> Resolution:
        """Ask the source what there is to fetch.

        Raises:
            HubError: the source cannot be reached, or does not have what the catalog selects.
        """
        ...

    def inspect_cache(
        self,
        resolution: Resolution,
        record: ModelRecord | None,
        hash_file: HashFile | None,
        damaged: frozenset[str] = frozenset(),
    ) -> CacheState:
        """Return which of the files the cache has.

        A recorded file that is not damaged counts by its size. Any other is read and compared.

        Args:
            resolution: the files that the source offers.
            record: the verified files of an earlier run; None if there are none.
            hash_file: reads a file; None to let the size alone count, for a plan.
            damaged: paths, in the form of `record_path`, of the files that a check found damaged.
        """
        ...

    def space_needed(self, missing: tuple[Download, ...]) -> SpaceNeeded:
        """Return the space that these downloads need, less what is staged already."""
        ...

    def target_folders(self, missing: tuple[Download, ...]) -> frozenset[Path]:
        """Return the folders that these downloads will be written to; they need not exist."""
        ...

    def name_folders(self) -> frozenset[Path]:
        """Return the folders of the mutable names and lists that `update_refs` and `write_file_list` write."""
        ...

    def locate(self, download: Download) -> Download:
        """Return the download with its address and headers, which need the connection to the hub.

        Raises:
            UsageError: the connection cannot be opened.
        """
        ...

    def install(
        self, same: tuple[Download, ...], staged: StagedBody, right: "WriteRight", *, shared: bool = False
    ) -> tuple[FileRecord, ...]:
        """Move a verified body to its final names, or unpack it.

        Args:
            same: the downloads that share this staging file: one content under several names.
            staged: the verified body.
            right: the right to publish; asked before each file and around what appears under a final name.
            shared: whether another artifact installs the same body after this one, so that it must stay available.

        Returns:
            The records of the files that the body became.

        Raises:
            LeaseLost: another run took the body, or the lease.
            Interrupted: the run was stopped.
            OSError: the volume cannot be written.
        """
        ...

    def update_file_list(self, files: tuple[FileRecord, ...], offer: Resolution | None = None) -> None:
        """Write the list that libraries expect beside the files (the hub's list of a commit), if it is not right.

        Args:
            files: the verified files of this model, which may have no record yet.
            offer: what the source offered; None if it was not asked.
        """
        ...

    def update_refs(self) -> None:
        """Point the mutable names (`refs/main`, links to the current package) at this model, where they are ours."""
        ...


def record_model(
    artifact: Artifact,
    offer: Resolution,
    state: CacheState,
    placed: Sequence[FileRecord],
    places: Places,
    check_lease: Callable[[], None],
) -> list[FileRecord]:
    """Write the record of a model, and what libraries expect beside its files; return the files.

    Args:
        artifact: the model as it is stored.
        offer: what its source offers.
        state: what the cache had.
        placed: what this run put into the cache: all that `state` misses.
        places: of the cache.
        check_lease: raises `LeaseLost` if another process has the lease.

    Raises:
        LeaseLost: another process has the lease.
        OSError: the volume cannot be written.
    """
    files = [record for _, records in state.present for record in records] + list(placed)
    record = make_record(artifact.model, files, [*state.installed, *placed], places)
    artifact.update_file_list(record.files, offer)
    check_lease()
    write_repository_bytes(artifact.model, offer.whole_repository_bytes, places)
    write_record(record, places)
    return files
