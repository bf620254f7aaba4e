"""Leaves word of who needs a generation, so that `collect` keeps it.

In a cluster that is the release, which lives as long as its Deployment. Elsewhere it is the catalog: each file is one
user of the cache, and the built-in catalog another, until somebody forgets it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from cache_warmer.disk.volume import nearest_folder
from cache_warmer.kubernetes.events import DEPLOYMENT, NAMESPACE
from model_cache.catalog.catalog import Model, model_digest
from model_cache.errors import ManifestInvalid
from model_cache.places import Places
from model_cache.references import Reference, dump_reference, parse_reference, reference_path

# The name of whoever uses the catalog inside the package.
BUILT_IN: Final = "default"


@dataclass(frozen=True, slots=True)
class ReferenceWriter:
    """One user of the cache.

    Attributes:
        name: see `Reference`.
        namespace, deployment: what it lives with; empty outside a cluster.
        places: of the cache.
        now: the time, with a zone.
    """

    name: str
    namespace: str
    deployment: str
    places: Places
    now: Callable[[], datetime]

    def is_recorded(self, generation: str, models: Sequence[Model]) -> bool:
        """Return whether it is written down already, or cannot be: a cache that is only read is not collected by us."""
        if self._whole(generation, models) == self._written():
            return True
        return not os.access(nearest_folder(self.places.own.path), os.W_OK)

    def record(self, generation: str, models: Sequence[Model]) -> None:
        """Write it down, under the lease; what it had of the same generation stays. Raises `OSError`."""
        whole = self._whole(generation, models)
        if whole != self._written():
            updated = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            atomic.write_file(self._path, dump_reference(whole._replace(updated=updated)))

    @property
    def _path(self) -> Path:
        return reference_path(self.places, self.name)

    def _whole(self, generation: str, models: Sequence[Model]) -> Reference:
        needed = {model.key: model_digest(model) for model in models}
        before = self._written()
        if before is not None and before.generation == generation:
            needed = {**before.models, **needed}
        return Reference(self.name, generation, needed, self.namespace, self.deployment)

    def _written(self) -> Reference | None:
        try:
            found = parse_reference(self._path.read_bytes())
        except (OSError, ManifestInvalid):
            return None
        return found._replace(models=dict(found.models), updated="")


def referring(
    name: str | None,
    catalog: Path | None,
    places: Places,
    environ: Mapping[str, str],
    now: Callable[[], datetime],
) -> ReferenceWriter:
    """Return who uses the cache: as `--reference` says, else by the catalog's path."""
    told = name or (str(catalog.absolute()) if catalog is not None else BUILT_IN)
    namespace, deployment = environ.get(NAMESPACE, ""), environ.get(DEPLOYMENT, "")
    lives = bool(namespace and deployment)
    return ReferenceWriter(told, namespace if lives else "", deployment if lives else "", places, now)
