"""What the command line and the environment say, read once, and what every command makes of it."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from cache_warmer.artifacts.sources import Sources, SourceSettings
from cache_warmer.hub.retry import Retry
from model_cache.catalog.catalog import Catalog
from model_cache.catalog.lock import Lock, load_lock
from model_cache.catalog.parse import load_catalog
from model_cache.cli.options import Options, find_places
from model_cache.places import Places


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of `plan` and `warm`.

    Attributes:
        options: those that all programs share.
        endpoint, wheel_base, stall_timeout: see `SourceSettings`.
        wait: seconds to wait for another writer.
        reference: the name of who uses what is warmed; None: by the catalog's path.
        probe: whether `plan` makes and removes a probe folder.
        retry: limits of the retries.
        termination_log: where the last words go, if that file is there.
    """

    options: Options
    endpoint: str | None = None
    wheel_base: str | None = None
    stall_timeout: float = 60.0
    wait: float = 1800.0
    reference: str | None = None
    probe: bool = True
    retry: Retry = field(default_factory=Retry)
    termination_log: Path = Path("/dev/termination-log")

    def catalog(self) -> tuple[Catalog, Lock | None]:
        """Read the catalog and its lock. Raises `CatalogInvalid`, `LockInvalid`, `UsageError`."""
        catalog = load_catalog(self.options.catalog)
        catalog.select(self.options.models)
        return catalog, load_lock(self.options.catalog)

    def places(self, environ: MutableMapping[str, str]) -> Places:
        """Return where the cache's parts are. Raises `UsageError`."""
        return find_places(self.options.cache, environ)

    def sources(
        self, places: Places, lock: Lock | None, environ: MutableMapping[str, str], retry: Retry
    ) -> Sources:
        """Return where the models come from; asks nothing yet."""
        settings = SourceSettings(self.endpoint, self.wheel_base, self.stall_timeout, retry)
        return Sources(settings, places, lock, environ)
