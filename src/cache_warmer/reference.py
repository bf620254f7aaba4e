"""Record which release or catalog references a generation, so that `cache-warmer collect` keeps it.

In a cluster the reference has the name of the release and is live while its Deployment exists. Elsewhere it has the
name of the catalog file (or of the built-in catalog) and is live until `collect --forget` removes it. The file is
written under the lease, after the generation was published; before a warm fetches, the models that it lacks are added
to the former reference as pending.

The reference carries the identity of its cluster or host (`kubernetes.identity`), which is read when it is needed: the
API server takes a second. References of the same name with another identity are somebody else's and stay.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from cache_warmer.disk.volume import nearest_folder
from cache_warmer.kubernetes import client
from cache_warmer.kubernetes.events import ClusterApi
from cache_warmer.kubernetes.identity import cluster_identities, host_identity
from cache_warmer.kubernetes.pod import DEPLOYMENT, NAMESPACE
from model_cache.catalog.catalog import Model, model_digest
from model_cache.errors import ManifestInvalid
from model_cache.file_io import read_small_file
from model_cache.places import Places
from model_cache.record_rules import source_folder
from model_cache.references import (
    MAX_REFERENCE_BYTES,
    PendingModel,
    Reference,
    dump_reference,
    parse_reference,
    read_references,
    reference_path,
)

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
        identities: Of this cluster (if there is a Deployment) or host, the best one first; none: not known.
    """

    name: str
    namespace: str
    deployment: str
    places: Places
    now: Callable[[], datetime]
    identities: Callable[[], tuple[str, ...]] = tuple

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
        self._write(self._updated(generation, models))
        for path in self._superseded(generation):
            path.unlink(missing_ok=True)

    def record_pending(self, generation: str, models: Sequence[Model]) -> None:
        """Note under the lease that these models are about to be fetched, unless the reference names them already.

        What it names stays.

        Raises:
            OSError: The volume cannot be written.
        """
        former = self._stored() or self._empty(generation, {})
        known = frozenset(former.models.values())
        pending = tuple(
            PendingModel(model_digest(model), *source_folder(model.source))
            for model in models
            if model_digest(model) not in known
        )
        if pending:
            self._write(former._replace(pending=pending))

    def _write(self, reference: Reference) -> None:
        if reference != self._stored():
            updated = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            content = dump_reference(reference._replace(updated=updated))
            atomic.write_file(self._path, content, self.places.boundary_of(self._path))

    @property
    def _owner(self) -> str:
        return next(iter(self.identities()), "")

    @property
    def _path(self) -> Path:
        return reference_path(self.places, self.name, self._owner)

    def _superseded(self, generation: str) -> list[Path]:
        """Return the files of this reference's former identities.

        One without an identity is somebody's, not necessarily ours: it goes only if this reference keeps the same.
        """
        references, _ = read_references(self.places)
        return [
            path
            for path, found in references.items()
            if (found.name, found.namespace, found.deployment) == (self.name, self.namespace, self.deployment)
            and path != self._path
            and (found.owner in self.identities() or (not found.owner and found.generation == generation))
        ]

    def _updated(self, generation: str, models: Sequence[Model]) -> Reference:
        """Return the reference as it must be; without its time, so that it can be compared."""
        digests = {model.key: model_digest(model) for model in models}
        stored = self._stored()
        if stored is not None and stored.generation == generation:
            digests = {**stored.models, **digests}
        return self._empty(generation, digests)

    def _empty(self, generation: str, digests: Mapping[str, str]) -> Reference:
        cluster, host = (self._owner, "") if self.deployment else ("", self._owner)
        return Reference(
            self.name, generation, digests, self.namespace, self.deployment, cluster=cluster, host=host
        )

    def _stored(self) -> Reference | None:
        """Return the reference in the cache, without its time; None if it is missing or invalid."""
        try:
            found = parse_reference(read_small_file(self._path, MAX_REFERENCE_BYTES))
        except (OSError, ManifestInvalid):
            return None
        return found._replace(models=dict(found.models), updated="")


def reference_writer(
    name: str | None,
    catalog: Path | None,
    places: Places,
    environ: Mapping[str, str],
    now: Callable[[], datetime],
    connect: Callable[[], ClusterApi] = client.connect,
) -> ReferenceWriter:
    """Return the writer of this run's reference.

    Args:
        name: the value of `--reference`; None: the absolute path of the catalog.
        catalog: the catalog file; None: the one inside the package.
        places: where the parts of the cache are.
        environ: names the Deployment, in a pod of the chart.
        now: returns the time, with a zone.
        connect: Returns the API server of the cluster.
    """
    is_built_in = name is None and catalog is None
    name = name or (str(catalog.absolute()) if catalog is not None else BUILT_IN_REFERENCE)
    namespace, deployment = environ.get(NAMESPACE, ""), environ.get(DEPLOYMENT, "")
    if not (namespace and deployment):  # one without the other names no Deployment
        namespace = deployment = ""

    @cache
    def identities() -> tuple[str, ...]:
        if deployment:
            return cluster_identities(environ, connect)
        host = host_identity()
        # each installation on a host has its own built-in catalog
        return (f"{host}:{sys.prefix}",) if host and is_built_in else (host,) if host else ()

    return ReferenceWriter(name, namespace, deployment, places, now, identities)
