"""The catalog of a worker: the registry of its models, its digest, and the commands that fill its cache."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from model_cache.catalog.catalog import Catalog, Model
from model_cache.catalog.lock import Lock, load_lock
from model_cache.catalog.parse import load_catalog
from model_cache.check.files import Remedies
from model_cache.cli.options import IMPORT_COMMAND
from model_cache.errors import CacheUnreadable, CatalogInvalid, LockInvalid
from qda_worker.observability.logs import Log
from qda_worker.registry.registry import ModelProblem, ModelRegistry
from qda_worker.server.warm_process import manual_command
from qda_worker.settings import ServeSettings


def create_registry(settings: ServeSettings, log: Log) -> tuple[ModelRegistry, Lock | None]:
    """Return the registry of the models to serve, and the catalog's lock.

    With an invalid catalog or lock the registry is empty, so that the container keeps running and can be inspected; on
    a host the error is raised.

    Raises:
        ModelCacheError: a model of `--model` is unknown, or on a host the catalog or its lock is invalid.
    """
    try:
        catalog, lock = load_catalog(settings.shared.catalog), load_lock(settings.shared.catalog)
    except (CatalogInvalid, LockInvalid, CacheUnreadable) as error:
        if settings.on_host:
            raise
        log.error("catalog.invalid", detail=error.message, remedy=error.remedy)  # noqa: TRY400  # users need no trace
        return ModelRegistry.without_catalog(ModelProblem.from_error(error)), None
    return ModelRegistry(catalog, _selected_models(catalog, settings)), lock


def _selected_models(catalog: Catalog, settings: ServeSettings) -> tuple[Model, ...]:
    return catalog.select(settings.shared.models) if settings.shared.models else catalog.models


def catalog_file_digest(path: Path | None) -> str:
    """Return the SHA-256 of the catalog's file; empty for the built-in catalog and for what is no regular file."""
    if path is None or not path.is_file():
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # the catalog is invalid, which is reported elsewhere
        return ""


def create_remedies(settings: ServeSettings, environ: Mapping[str, str]) -> Remedies:
    """Return the commands that fill and repair the cache, as messages name them."""
    return Remedies(
        manual_command(settings, environ),
        manual_command(settings, environ, "repair"),
        environ.get(IMPORT_COMMAND, ""),
    )
