"""`cache-warmer collect`: list what no reference needs any more, and delete it with `--apply`.

A run without `--apply` and `--forget` only reads and takes no lease. Otherwise the run holds the lease while it drops
references, scans the cache (`gc.scan`) and deletes (`gc.sweep`). In a cluster, what was deleted or why that failed is
recorded as an Event.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from cache_warmer.commands.command import Invocation
from cache_warmer.commands.reporting import event_recorder
from cache_warmer.disk.atomic import require_inside
from cache_warmer.disk.preflight import require_contained
from cache_warmer.disk.volume import explain_os_errors
from cache_warmer.gc.plan import GcPlan
from cache_warmer.gc.report import CollectReport, to_json, to_table
from cache_warmer.gc.retention import RetentionRules
from cache_warmer.gc.roots import DeploymentExists, dead_references, retired_folder
from cache_warmer.gc.scan import Scanner
from cache_warmer.gc.sweep import Sweeper
from cache_warmer.kubernetes import client
from cache_warmer.kubernetes.events import EventRecorder
from cache_warmer.kubernetes.identity import cluster_identities
from cache_warmer.lease.base import Lease
from cache_warmer.lease.select import select_lease
from cache_warmer.options import KEEP
from cache_warmer.settings import Settings
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import Model, generation, model_digest
from model_cache.catalog.lock import Lock
from model_cache.cli.options import OutputFormat, warmer_command
from model_cache.cli.parser import OptionParser
from model_cache.errors import ModelCacheError, UsageError
from model_cache.formatting import printable
from model_cache.json_values import to_json_text
from model_cache.layout import former_cache, record_folders
from model_cache.places import Places
from model_cache.reasons import Reason
from model_cache.references import read_references

_LOG: Final = logging.getLogger(__name__)


def add_collect_arguments(parser: OptionParser) -> None:
    """Add --apply and --forget to a parser."""
    parser.add_argument("--apply", action="store_true", help="delete what is listed (default: only list it)")
    parser.add_argument(
        "--forget",
        metavar="NAME",
        action="append",
        default=[],
        help="delete the reference of this name first; may be repeated (default: none)",
    )


def run_collect(
    invocation: Invocation,
    exists: DeploymentExists | None = None,
    events: EventRecorder | None = None,
    clusters: Callable[[], Collection[str]] | None = None,
) -> int:
    """List or delete what no reference needs, and return the exit code.

    Args:
        invocation: the arguments, environment and streams.
        exists: whether a Deployment exists; None: ask the API server of this pod's cluster.
        events: records Events; None: on the objects that the environment names.
        clusters: Returns the identities of the cluster that `exists` asks; None: ask its API server.

    Raises:
        ModelCacheError: the options are wrong, the cache cannot be read or written, or another writer holds the lease.
    """
    settings, applied = invocation.settings(), bool(invocation.arguments.apply)
    if settings.options.models:
        raise UsageError(
            "collect works on the whole cache, so --model has no effect", "leave --model (QDA_MODELS) out"
        )
    events = events or event_recorder(invocation.environ)
    try:
        clusters = clusters or partial(cluster_identities, invocation.environ, client.connect)
        report = _collect(invocation, settings, exists or _deployment_exists, clusters)
    except ModelCacheError as error:
        if applied:
            events.record_failure(error)
        raise
    if report.applied and report.plan.deletions:
        events.record_collection(report.plan.freed_bytes, len(report.plan.deletions))
    if settings.options.format is OutputFormat.JSON:
        text = to_json_text(to_json(report))
    else:
        text = to_table(report, _apply_command(invocation, settings))
    print(text, file=invocation.out)
    return Reason.OK.exit_code


def _collect(
    invocation: Invocation,
    settings: Settings,
    exists: DeploymentExists,
    clusters: Callable[[], Collection[str]],
) -> CollectReport:
    catalog, lock = settings.load_catalog()
    places = settings.find_places(invocation.environ)
    rules = RetentionRules(
        generation(catalog.models),
        frozenset(model_digest(model) for model in catalog.models),
        invocation.value(KEEP),
    )
    lease = select_lease(places, settings.wait, invocation.environ, Stop(), _LOG.info)
    collection = _Collection(catalog.models, lock, places, lease, rules, exists, cache(clusters))
    with explain_os_errors(places):
        _require_contained(places)
        return collection.run(tuple(invocation.arguments.forget), apply=bool(invocation.arguments.apply))


def _require_contained(places: Places) -> None:
    """Raise unless every folder that a collection reads or changes is in the cache.

    Links inside a repository need no check: the scan does not follow them.

    Raises:
        VolumeUnsuitable: a folder leads out of the cache, or is none.
    """
    require_contained(places)
    for folder in (
        *record_folders(places),
        retired_folder(places),
        former_cache(places),
    ):
        require_inside(folder, places.boundary_of(folder))


@dataclass(frozen=True, slots=True)
class _Collection:
    """One run of `collect`.

    Attributes:
        models: the models of the current catalog.
        lock: Of the catalog.
        places: where the parts of the cache are.
        lease: the right to write to it.
        rules: what must be kept.
        exists: returns whether a Deployment exists.
        clusters: Returns the identities of the cluster that `exists` asks.
    """

    models: Sequence[Model]
    lock: Lock | None
    places: Places
    lease: Lease
    rules: RetentionRules
    exists: DeploymentExists
    clusters: Callable[[], Collection[str]]

    def run(self, forget: tuple[str, ...], *, apply: bool) -> CollectReport:
        """Scan the cache, under the lease if anything is to be deleted."""
        if not apply and not forget:
            return CollectReport(self._scan(), applied=False, forgotten=())
        _require_known(forget, self.places)
        with self.lease.held():
            for path in self._forgotten_files(forget):
                path.unlink(missing_ok=True)
            found = self._scan()
            if apply:
                Sweeper(self.places, self.lease.check).apply(found)
            return CollectReport(found, applied=apply, forgotten=forget)

    def _scan(self) -> GcPlan:
        references, _ = read_references(self.places)
        dead = dead_references(references, self.exists, _LOG.warning, self.clusters)
        uid = os.geteuid() if hasattr(os, "geteuid") else None  # Windows has none
        scanner = Scanner(self.models, self.places, time.time(), uid, self.lock)
        return scanner.scan(dataclasses.replace(self.rules, dead_references=dead))

    def _forgotten_files(self, names: Sequence[str]) -> list[Path]:
        """Return the files of these references; also those that cannot be read, by their file names.

        A name may stand for a reference of this cluster and for those of others: then it means the former alone, and
        the others are named by their files.
        """
        references, bad = read_references(self.places)
        found = [path for path in (*references, *bad) if path.stem in names]
        for name in names:
            same = [path for path, reference in references.items() if reference.name == name]
            foreign = [path for path in same if references[path].cluster not in ("", *self.clusters())]
            found += [path for path in same if path not in foreign] or foreign
        return list(dict.fromkeys(found))


def _require_known(names: Sequence[str], places: Places) -> None:
    """Raise `UsageError` for a name that no reference has; the file name without its suffix counts, too."""
    references, bad = read_references(places)
    known = {reference.name for reference in references.values()}
    stems = {path.stem for path in (*references, *bad)}
    for name in names:
        if name not in known | stems:
            allowed = printable(", ".join(sorted(known)) or "none")
            raise UsageError(f'--forget: no such reference: "{name[:200]}"', f"give one of: {allowed}")


def _deployment_exists(namespace: str, name: str) -> bool:
    """Return whether the API server of this pod's cluster has that Deployment."""
    cluster = client.connect()
    from kubernetes.client import ApiException

    try:
        return bool(cluster.uid("Deployment", namespace, name))
    except ApiException as error:
        if error.status == 404:
            return False
        raise


def _apply_command(invocation: Invocation, settings: Settings) -> str:
    """Return the command that deletes what this one lists."""
    keep = invocation.value(KEEP)
    more = ("--keep", str(keep)) if keep != KEEP.default else ()
    return warmer_command(settings.options, {}, *more, "--apply", verb="collect")
