"""`cache-warmer collect`: says what nobody needs any more, and deletes it when told."""

import dataclasses
import json
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cache_warmer.commands.command import Invocation
from cache_warmer.disk import volume
from cache_warmer.gc.report import CollectReport, to_json, to_table
from cache_warmer.gc.retention import GcPlan, RetentionRules
from cache_warmer.gc.roots import Exists, dead_releases
from cache_warmer.gc.scan import Scanner
from cache_warmer.gc.sweep import Sweeper
from cache_warmer.kubernetes import client
from cache_warmer.kubernetes.events import EventRecorder, own_objects
from cache_warmer.lease.select import lease_for
from cache_warmer.options import KEEP
from cache_warmer.settings import Settings
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import generation, model_digest
from model_cache.cli.options import OutputFormat, warm_command
from model_cache.cli.parser import OptionParser
from model_cache.errors import ModelCacheError, UsageError
from model_cache.places import HOST, Places
from model_cache.reasons import Reason
from model_cache.references import read_references

_LOG: Final = logging.getLogger(__name__)


def add_collect_switches(parser: OptionParser) -> None:
    """Let a parser accept --apply and --forget."""
    parser.add_argument("--apply", action="store_true", help="delete it (default: only say what would go)")
    parser.add_argument(
        "--forget", metavar="NAME", action="append", default=[], help="drop this reference; may be repeated"
    )


def collect_command(
    called: Invocation, exists: Exists | None = None, announcer: EventRecorder | None = None
) -> int:
    """Collect, or say what could be, and return the exit code. What is deleted is told to the cluster.

    Raises `ModelCacheError`.
    """
    settings = called.settings()
    if settings.options.models:
        raise UsageError("what nobody needs is collected for all models", "leave --model (QDA_MODELS) out")
    announcer = announcer or EventRecorder(
        own_objects(called.environ), client.connect, lambda: datetime.now(UTC)
    )
    try:
        report = _collected(called, settings, exists or _deployment_exists)
    except ModelCacheError as error:
        if called.arguments.apply:
            announcer.failed(error)
        raise
    if report.applied and report.collection.going:
        announcer.collected(report.collection.bytes, len(report.collection.going))
    if settings.options.format is OutputFormat.JSON:
        called.out.write(json.dumps(to_json(report), indent=2, ensure_ascii=False) + "\n")
    else:
        keep = called.value(KEEP)
        more = ("--keep", str(keep)) if keep != KEEP.default else ()
        command = warm_command(settings.options, {}, *more, "--apply", verb="collect")
        called.out.write(to_table(report, command) + "\n")
    return Reason.OK.exit_code


def _collected(called: Invocation, settings: Settings, exists: Exists) -> CollectReport:
    catalog, _ = settings.catalog()
    places = settings.places(called.environ)
    try:
        return _Run(called, settings, places, exists).run(
            RetentionRules(
                generation(catalog.models),
                frozenset(model_digest(model) for model in catalog.models),
                called.value(KEEP),
            ),
        )
    except OSError as error:
        raise volume.of_os_error(error, places.own.path, on_host=places.label == HOST) from error


class _Run:
    def __init__(self, called: Invocation, settings: Settings, places: Places, exists: Exists) -> None:
        self._called, self._settings, self._places, self._exists = called, settings, places, exists
        stop = Stop()
        self._lease = lease_for(places, settings.wait, called.environ, stop, _LOG.info)

    def run(self, needs: RetentionRules) -> CollectReport:
        """Look; under the lease if anything is written."""
        apply, names = bool(self._called.arguments.apply), list(self._called.arguments.forget)
        if not apply and not names:
            return CollectReport(self._look(needs), applied=False, forgotten=())
        _demand_names(names, self._places)
        with self._lease.held():
            self._forget(names)
            collection = self._look(needs)
            if apply:
                Sweeper(self._places, self._lease.check).apply(collection)
            return CollectReport(collection, applied=apply, forgotten=tuple(names))

    def _look(self, needs: RetentionRules) -> GcPlan:
        references, _ = read_references(self._places)
        dead = dead_releases(references, self._exists, _LOG.warning)
        uid = os.geteuid() if hasattr(os, "geteuid") else None
        looking = Scanner(self._settings.catalog()[0].models, self._places, time.time(), uid)
        return looking.look(dataclasses.replace(needs, dead=dead))

    def _forget(self, names: list[str]) -> None:
        for path in _files_of(names, self._places):
            path.unlink(missing_ok=True)


def _demand_names(names: list[str], places: Places) -> None:
    """Raise `UsageError` for a name that nobody has."""
    references, bad = read_references(places)
    known = {reference.name for reference in references.values()} | {
        path.stem for path in (*references, *bad)
    }
    for name in names:
        if name not in known:
            there = ", ".join(sorted(reference.name for reference in references.values())) or "none"
            raise UsageError(f'--forget: nobody is called "{name[:200]}"', f"give one of: {there}")


def _files_of(names: list[str], places: Places) -> list[Path]:
    references, bad = read_references(places)
    found = [path for path, reference in references.items() if reference.name in names or path.stem in names]
    return [*found, *(path for path in bad if path.stem in names)]


def _deployment_exists(namespace: str, name: str) -> bool:
    """Ask the API server of the cluster that this pod runs in."""
    cluster = client.connect()
    from kubernetes.client import ApiException

    try:
        return bool(cluster.uid("Deployment", namespace, name))
    except ApiException as error:
        if error.status == 404:
            return False
        raise
