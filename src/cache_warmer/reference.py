"""Record which release or catalog references a generation, so that `cache-warmer collect` keeps it.

In a cluster the reference has the name of the release and is live while its Deployment exists. Elsewhere it has the
name of the catalog file (or of the built-in catalog) and is live until `collect --forget` removes it. The file is
written under the lease, after the generation was published.
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
from model_cache.file_io import read_small_file
from model_cache.places import Places
from model_cache.references import Reference, dump_reference, parse_reference, reference_path

# The name of the reference that belongs to the catalog inside the package.
BUILT_IN_REFERENCE: Final = "default"


@dataclass(frozen=True, slots=True)
class ReferenceWriter:
    """Writes one reference.

    Attributes:
        name: see `Reference`.
        namespace: the namespace of the Deployment whose existence keeps it live; empty outside a cluster.
        deployment: name of that Deployment; empty outside a cluster.
        places: where the parts of the cache are.
        now: returns the time, with a zone.
    """

    name: str
    namespace: str
    deployment: str
    places: Places
    now: Callable[[], datetime]

    def is_recorded(self, generation: str, models: Sequence[Model]) -> bool:
        """Return whether the reference is written already, or cannot be.

        It cannot be where this user may only read the cache. Then this user cannot run `collect` on it either.
        """
        if self._updated(generation, models) == self._stored():
            return True
        return not os.access(nearest_folder(self.places.own.path), os.W_OK)

    def record(self, generation: str, models: Sequence[Model]) -> None:
        """Write the reference, under the lease. Models of the same generation that it names already stay in it.

        Raises:
            OSError: the volume cannot be written.
        """
        reference = self._updated(generation, models)
        if reference != self._stored():
            updated = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            content = dump_reference(reference._replace(updated=updated))
            atomic.write_file(self._path, content, self.places.boundary_of(self._path))

    @property
    def _path(self) -> Path:
        return reference_path(self.places, self.name)

    def _updated(self, generation: str, models: Sequence[Model]) -> Reference:
        """Return the reference as it must be; without its time, so that it can be compared."""
        digests = {model.key: model_digest(model) for model in models}
        stored = self._stored()
        if stored is not None and stored.generation == generation:
            digests = {**stored.models, **digests}
        return Reference(self.name, generation, digests, self.namespace, self.deployment)

    def _stored(self) -> Reference | None:
        """Return the reference in the cache, without its time; None if it is missing or invalid."""
        try:
            found = parse_reference(read_small_file(self._path))
        except (OSError, ManifestInvalid):
            return None
        return found._replace(models=dict(found.models), updated="")


def reference_writer(
    name: str | None,
    catalog: Path | None,
    places: Places,
    environ: Mapping[str, str],
    now: Callable[[], datetime],
) -> ReferenceWriter:
    """Return the writer of this run's reference.

    Args:
        name: the value of `--reference`; None: the absolute path of the catalog.
        catalog: the catalog file; None: the one inside the package.
        places: where the parts of the cache are.
        environ: names the Deployment, in a pod of the chart.
        now: returns the time, with a zone.
    """
    name = name or (str(catalog.absolute()) if catalog is not None else BUILT_IN_REFERENCE)
    namespace, deployment = environ.get(NAMESPACE, ""), environ.get(DEPLOYMENT, "")
    if not (namespace and deployment):  # one without the other names no Deployment
        namespace = deployment = ""
    return ReferenceWriter(name, namespace, deployment, places, now)
