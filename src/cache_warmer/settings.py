"""The settings of `cache-warmer`, read once from options and environment, and the objects that are made from them."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from cache_warmer.artifacts.sources import Sources, SourceSettings
from cache_warmer.hub.retry import Retry
from model_cache.catalog.catalog import Catalog
from model_cache.catalog.lock import Lock, load_lock
from model_cache.catalog.parse import load_catalog
from model_cache.cli.options import SharedOptions, find_places
from model_cache.places import Places


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a command.

    Attributes:
        options: the options that all programs share.
        endpoint: see `SourceSettings`.
        wheel_base: see `SourceSettings`.
        stall_timeout: see `SourceSettings`.
        wait: seconds to wait for another writer.
        reference: name of the reference; None: the catalog's path (`reference.reference_writer`).
        probe: whether `plan` makes and removes a probe folder.
        retry: limits of the retries.
        ca_bundle: a PEM file with authorities to trust in addition (`hub.certificates`); None: no further ones.
        termination_log: where the termination message goes, if that file exists.
    """

    options: SharedOptions
    endpoint: str | None = None
    wheel_base: str | None = None
    stall_timeout: float = 60.0
    wait: float = 1800.0
    reference: str | None = None
    probe: bool = True
    retry: Retry = field(default_factory=Retry)
    ca_bundle: Path | None = None
    termination_log: Path = Path("/dev/termination-log")  # the default of `terminationMessagePath`

    def load_catalog(self) -> tuple[Catalog, Lock | None]:
        """Return the catalog and its lock.

        Raises:
            CatalogInvalid: the catalog cannot be parsed.
            LockInvalid: its lock cannot be parsed.
            UsageError: `--model` names a model that is not in the catalog.
        """
        catalog = load_catalog(self.options.catalog)
        catalog.select(self.options.models)
        return catalog, load_lock(self.options.catalog)

    def find_places(self, environ: MutableMapping[str, str]) -> Places:
        """Return where the cache is.

        Raises:
            UsageError: That depends on a home folder, and this user has none.
        """
        return find_places(self.options.cache, environ)

    def make_sources(
        self,
        places: Places,
        lock: Lock | None,
        environ: MutableMapping[str, str],
        retry: Retry | None = None,
    ) -> Sources:
        """Return the sources of the models; makes no request.

        Args:
            places: where the parts of the cache are.
            lock: the lock of the catalog.
            environ: Tokens, proxies and certificates.
            retry: limits of the retries; None: those of these settings.
        """
        settings = SourceSettings(
            self.endpoint, self.wheel_base, self.stall_timeout, retry or self.retry, self.ca_bundle
        )
        return Sources(settings, places, lock, environ)
