"""Kubernetes Events about a run.

For a failed Job, Helm only reports a timeout. Events appear within seconds in `kubectl describe` and
`kubectl get events`. Start, end and failures are written on the warmer's Job and on the Deployment that waits for its
cache; verified models on the Job alone. The shell has no Job, so its Events are on the Deployment alone.

A deep check writes on the CronJob, whose Jobs have names that no Role can list, and on the Deployment: a Warning for
bad files, and a Normal Event when they were fetched again. That every file is intact is no news for the Deployment; it
is written on the CronJob alone.

Threads: start, end and failures are written in the caller's thread, with the short timeouts of `client`. Verified
models go into a queue, which a daemon thread called `events` drains: models that are verified within one interval
share an Event, and no download waits for the API server. `record_end` stops that thread first, and waits at most ten
seconds for it.

Events are optional: a failure here is logged, and the run continues. The Event about the end is tried again for a
while if the API server was reached before and is away now; nothing waits for it any more, and Kubernetes itself cannot
see the end of the pod before it is back. Outside a cluster nothing is written and no client is loaded.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from cache_warmer.errors import Interrupted
from cache_warmer.kubernetes.pod import CRONJOB, DEPLOYMENT, JOB, NAMESPACE
from cache_warmer.reports.warm_report import WarmReport
from model_cache.check.types import CheckReport, all_problems
from model_cache.errors import ModelCacheError, with_remedy
from model_cache.formatting import human_bytes, one_line
from model_cache.reasons import Reason
from model_cache.warm_status import WarmStatus, memory_hint

_LOG: Final = logging.getLogger(__name__)

COMPONENT: Final = "cache-warmer"
# Reasons of Events that have no `Reason`: the run has not ended.
WARMING: Final = "WARMING"
VERIFIED: Final = "WARMED"
IMPORTING: Final = "IMPORTING"
COLLECTED: Final = "COLLECTED"
# Prepared forms are in the cache.
PUBLISHED: Final = "PUBLISHED"
# Bad files were fetched again.
REPAIRED: Final = "REPAIRED"
_START_MESSAGES: Final = {
    WARMING: "the warmer started: it compares the cache with the catalog",
    IMPORTING: "an import started: it reads a generation from an archive",
}
# What follows the remedy on a Job: its name depends on the values of the release, so most remedies create a new one.
_RETRIED: Final = " Kubernetes tries again automatically."
_RERUN: Final = " If that changes no value, increase cacheWarmer.rerun to run it again."
# How long `record_end` waits for the thread. The end of the run is reported in any case.
_JOIN_SECONDS: Final = 10.0
# Tries of an Event about the end while the API server is away, and the pause between two of them in seconds.
_END_TRIES: Final = 30
_END_PAUSE: Final = 2.0
# The limit of the API server for the message of an Event.
MESSAGE_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class InvolvedObjects:
    """The objects that Events are written on.

    Attributes:
        namespace: the namespace of the objects.
        job: name of the Job that this process runs in; empty: the shell, or a deep check.
        deployment: name of the Deployment that waits for the cache; empty: none.
        cronjob: name of the CronJob of a deep check; empty: none.
    """

    namespace: str
    job: str
    deployment: str = ""
    cronjob: str = ""

    @property
    def owner(self) -> str:
        """Name of the Job or the CronJob, which start this process again after some failures; empty: none."""
        return self.job or self.cronjob


class ClusterUnavailableError(Exception):
    """The API server did not answer, or cannot answer at present. Another try can succeed."""


class ClusterApi(Protocol):
    """The requests to the API server.

    Both methods raise `ClusterUnavailableError` if another try can succeed, and otherwise the exceptions of the client.
    """

    def uid(self, kind: str, namespace: str, name: str) -> str:
        """Return the uid of a `Job` or a `Deployment`."""
        ...

    def create_event(self, namespace: str, event: dict[str, Any]) -> None:
        """Create an Event of core/v1."""
        ...


def involved_objects(environ: Mapping[str, str]) -> InvolvedObjects | None:
    """Return the objects that this process writes Events on; None outside a cluster."""
    found = InvolvedObjects(*(environ.get(name, "") for name in (NAMESPACE, JOB, DEPLOYMENT, CRONJOB)))
    return found if found.namespace and (found.owner or found.deployment) else None


class EventRecorder:
    """Writes the Events of one run.

    Args:
        objects: the objects that Events are written on; None outside a cluster, where nothing is written.
        connect: returns the API server; called when the first Event is written.
        now: returns the current time with a zone.
        interval: seconds between two Events about models.
        sleep: waits that many seconds between two tries of the Event about the end.
    """

    def __init__(
        self,
        objects: InvolvedObjects | None,
        connect: Callable[[], ClusterApi],
        now: Callable[[], datetime],
        interval: float = 5.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._objects, self._connect, self._now, self._interval = objects, connect, now, interval
        self._sleep = sleep
        self._cluster: ClusterApi | None = None
        # Whether the API server has accepted an Event of this run.
        self._was_reached = False
        # Sentences about verified models; None ends the thread.
        self._verified: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def record_start(self, reason: str = WARMING) -> None:
        """Write that a warm, or an import, started."""
        self._record("Normal", reason, _START_MESSAGES[reason])

    def record_interruption(self, former: WarmStatus) -> None:
        """Write that the run before this one ended without a shutdown, as one that the kernel kills.

        Args:
            former: the last status of that run.
        """
        when = former.updated.strftime("%Y-%m-%d %H:%M:%S UTC")
        hint = memory_hint(former) or (
            ". If the last state of its container is OOMKilled, increase cacheWarmer.resources.limits.memory"
        )
        message = f"the former warm ({former.holder}) ended without a shutdown at about {when}{hint}"
        _LOG.warning("%s", message)
        self._record("Warning", str(Reason.INTERRUPTED), message)

    def record_verified(self, key: str, count: int, files: int) -> None:
        """Queue the Event that a model is complete; the thread writes it. Returns at once.

        Args:
            key: the key of the model.
            count: its size in bytes.
            files: the number of its files.
        """
        if self._objects is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._record_models, daemon=True, name="events")
            self._thread.start()
        self._verified.put(f"{key} ({human_bytes(count)}, {files} files)")

    def record_collection(self, freed_bytes: int, count: int) -> None:
        """Write what a garbage collection deleted.

        Args:
            freed_bytes: the space that it freed.
            count: how many things it deleted.
        """
        message = f"{human_bytes(freed_bytes)} freed: {count} unreferenced items deleted"
        self._record("Normal", COLLECTED, message)

    def record_publication(self, forms: Sequence[str]) -> None:
        """Write which prepared forms are in the cache now."""
        self._record("Normal", PUBLISHED, f"prepared forms published: {', '.join(forms)}")

    def record_failure(self, error: ModelCacheError, tries: int = 1) -> None:
        """Write a failure: its reason, what happened and what to do."""
        message = f"{with_remedy(error.message, error.remedy)}.{self._what_follows(error)}"
        self._record("Warning", str(error.reason), message, tries=tries)

    def _what_follows(self, error: ModelCacheError) -> str:
        """Return whether a failed run is repeated, as the end of a message; empty if that is known or said already."""
        if self._objects is None or not self._objects.owner:
            return ""
        if error.reason.retryable:
            return _RETRIED
        # The next run of a CronJob comes by itself.
        is_said = "cacheWarmer.rerun" in error.remedy
        return _RERUN if self._objects.job and not is_said else ""

    def record_damage(self, report: CheckReport) -> None:
        """Write what a deep check found, before it is fetched again."""
        error = damage_error(report)
        self._record("Warning", str(error.reason), f"{error.message}. They are fetched again")

    def record_end(self, report: WarmReport) -> None:
        """Write how a warm or an import ended, after the last Event about models."""
        if self._thread is not None:
            self._stopping.set()
            self._verified.put(None)
            self._thread.join(_JOIN_SECONDS)
        # After a signal the process has to end soon.
        tries = _END_TRIES if self._was_reached and not isinstance(report.error, Interrupted) else 1
        if report.error is not None:
            self.record_failure(report.error, tries)
        elif report.mended:
            message = f"{_mended_message(report)}. {self._restart_hint()}"
            self._record("Normal", REPAIRED, message, tries=tries)
        else:
            is_intact = report.mended is not None and not report.bytes_fetched
            message = _intact_message(report) if is_intact else outcome_message(report)
            self._record("Normal", str(report.reason), message, job_only=is_intact, tries=tries)

    def _restart_hint(self) -> str:
        objects = self._objects
        if objects is None or not objects.deployment:
            return "Programs that have loaded these files need a restart"
        command = f"kubectl -n {objects.namespace} rollout restart deploy/{objects.deployment}"
        return f"Workers that have loaded these files serve the old content until `{command}`"

    def _record_models(self) -> None:
        """Write Events about verified models until the run ends; the daemon thread."""
        is_last = False
        while not is_last:
            batch = [self._verified.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    batch.append(self._verified.get_nowait())
            models = [model for model in batch if model is not None]
            is_last = len(models) < len(batch)
            if models:
                self._record("Normal", VERIFIED, f"verified: {', '.join(models)}", job_only=True)
            if not is_last:
                self._stopping.wait(self._interval)

    def _record(
        self, kind: str, reason: str, message: str, *, job_only: bool = False, tries: int = 1
    ) -> None:
        """Write one Event on each object; in all `tries` times if the API server is away."""
        if self._objects is None:
            return
        try:
            cluster = self._cluster = self._cluster or self._connect()
            for involved in _object_references(self._objects)[: 1 if job_only else None]:
                while True:
                    try:
                        self._create_event(cluster, involved, kind, reason, message)
                        self._was_reached = True
                        break
                    except ClusterUnavailableError:
                        tries -= 1
                        if tries < 1:
                            raise
                    self._sleep(_END_PAUSE)
        except Exception as error:  # noqa: BLE001  # a run never fails because of an Event
            _LOG.warning("no Event could be written (%s): %s", reason, _first_line(error))

    def _create_event(
        self, cluster: ClusterApi, involved: dict[str, str], kind: str, reason: str, message: str
    ) -> None:
        namespace = involved["namespace"]
        uid = cluster.uid(involved["kind"], namespace, involved["name"])  # `kubectl describe` selects by it
        time = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{involved['name'][:200]}.", "namespace": namespace},
            "involvedObject": {**involved, "uid": uid},
            "type": kind,
            "reason": reason,
            "message": one_line(message, MESSAGE_BYTES),
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": "",
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }
        cluster.create_event(namespace, event)


def outcome_message(report: WarmReport) -> str:
    """Return a sentence about a run that succeeded."""
    count, how = (
        (report.bytes_fetched, "fetched")
        if report.bytes_written is None
        else (report.bytes_written, "imported")
    )
    return (
        f"the cache was complete at the end of this run: generation {report.generation[:12]}, "
        f"{len(report.models)} models, {human_bytes(count)} {how} in {report.seconds:.0f} s. `cache-check` shows its "
        "present state"
    )


def damage_error(report: CheckReport) -> ModelCacheError:
    """Return the error of a deep check that found bad files: how many, of which models, the first one, a remedy."""
    problems = all_problems(report)
    models = ", ".join(model.key for model in report.models if model.problems)
    worst = next(problem for problem in problems if problem.reason is report.reason)
    count = (
        f"{len(problems)} bad {'file' if len(problems) == 1 else 'files'}{f' of {models}' if models else ''}"
    )
    return ModelCacheError(
        f"the deep check found {count}: {worst.file}: {worst.detail}", worst.remedy, reason=report.reason
    )


def _intact_message(report: WarmReport) -> str:
    size, files = sum(model.bytes for model in report.models), sum(model.files for model in report.models)
    return (
        f"the deep check found every file intact: generation {report.generation[:12]}, {len(report.models)} models, "
        f"{files} files, {human_bytes(size)}, in {report.seconds:.0f} s"
    )


def _mended_message(report: WarmReport) -> str:
    mended = report.mended or ()
    first = f"{mended[0].file}: it {mended[0].detail}" if mended else ""
    files = "1 bad file was" if len(mended) == 1 else f"{len(mended)} bad files were"
    return f"{files} fetched again ({human_bytes(report.bytes_fetched)}): {first}"


def _object_references(objects: InvolvedObjects) -> list[dict[str, str]]:
    """Return the `involvedObject` of each object, without its uid; Job and CronJob first."""
    named = [
        ("batch/v1", "Job", objects.job),
        ("batch/v1", "CronJob", objects.cronjob),
        ("apps/v1", "Deployment", objects.deployment),
    ]
    return [
        {"apiVersion": version, "kind": kind, "namespace": objects.namespace, "name": name}
        for version, kind, name in named
        if name
    ]


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
