"""Tells how a warm goes as Events on the warmer's Job and the Deployment that waits for it; in the shell on that alone.

Helm says of a failed Job only that the time is over. `kubectl describe` and `kubectl get events` show these
lines within seconds. They are a service, never a condition: what goes wrong here is logged, and the warm goes on.

What the chart tells the warmer of the Job or the shell that it runs in; nothing of it is set outside a
cluster.
"""

import contextlib
import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from cache_warmer.errors import HubUnauthorized
from cache_warmer.reports.warm_report import WarmReport
from model_cache.check.report import human_bytes
from model_cache.errors import ModelCacheError, with_remedy

NAMESPACE: Final = "QDA_KUBERNETES_NAMESPACE"
JOB: Final = "QDA_KUBERNETES_JOB"
DEPLOYMENT: Final = "QDA_KUBERNETES_DEPLOYMENT"
# Name of the Lease that guards the claim, in the pod's namespace, where the claim is, too.
LEASE: Final = "QDA_KUBERNETES_LEASE"
# `NAME/KEY` of the Secret that `HF_TOKEN` was to come from.
TOKEN_SECRET: Final = "QDA_TOKEN_SECRET"  # noqa: S105  # a variable's name
TOKEN: Final = "HF_TOKEN"  # noqa: S105  # the same


@dataclass(frozen=True, slots=True)
class InvolvedObjects:
    """The Job that this process runs in (empty: the shell), and the Deployment that waits for its cache, if any."""

    namespace: str
    job: str
    deployment: str = ""


def own_objects(environ: Mapping[str, str]) -> InvolvedObjects | None:
    """Return what this process tells its progress to, or None outside a cluster."""
    found = InvolvedObjects(environ.get(NAMESPACE, ""), environ.get(JOB, ""), environ.get(DEPLOYMENT, ""))
    return found if found.namespace and (found.job or found.deployment) else None


def holder_identity(environ: Mapping[str, str]) -> str:
    """Return what this process is called where people look: `pod NAME`, or `process 7 on HOST`."""
    host = socket.gethostname()
    return f"pod {host}" if environ.get(NAMESPACE) else f"process {os.getpid()} on {host}"


def demand_token(environ: Mapping[str, str]) -> None:
    """Raise `HubUnauthorized` if a Secret was to give a token and gave none.

    The pod template calls the Secret optional: Kubernetes would otherwise never start the container, and say why
    only in the events of a pod that nobody looks at.
    """
    secret = environ.get(TOKEN_SECRET, "")
    if not secret or environ.get(TOKEN, "").strip():
        return
    name, _, key = secret.partition("/")
    namespace = environ.get(NAMESPACE, "")
    place = f"-n {namespace} " if namespace else ""
    where = f" in namespace {namespace}" if namespace else ""
    raise HubUnauthorized(
        f"hub.tokenSecret names the Secret {name!r}, but{where} it, or its key {key!r}, is missing or empty",
        f"make it with `kubectl {place}create secret generic {name} --from-literal={key}=TOKEN` (or name another "
        "key with hub.tokenSecretKey), then raise cacheWarmer.rerun; without hub.tokenSecret no token is used",
    )


_LOG: Final = logging.getLogger(__name__)
COMPONENT: Final = "cache-warmer"
# Reasons that are no `Reason`: what goes on has none yet.
WARMING, VERIFIED, IMPORTING, COLLECTED = "WARMING", "WARMED", "IMPORTING", "COLLECTED"
_STARTS: Final = {
    WARMING: "the warmer started: it compares the cache with the catalog",
    IMPORTING: "an import started: it reads a generation from an archive",
}
# How long the last Event about models may take: the end is told anyway.
_LAST_SECONDS: Final = 10.0
# What the API server takes as an Event's message.
MESSAGE_BYTES: Final = 1024


class Cluster(Protocol):
    """What is asked of the API server. Both methods raise whatever the way to it raises."""

    def uid(self, kind: str, namespace: str, name: str) -> str:
        """Return the uid of a `Job` or a `Deployment`."""

    def create_event(self, namespace: str, event: dict[str, Any]) -> None:
        """Create an Event of core/v1."""


class EventRecorder:
    """Writes Events on the Job; of the start and the end also on the Deployment.

    Args:
        own: the objects; None, outside a cluster: nothing is written.
        connect: makes the way to the API server, when it is first needed.
        now: the time, with a zone.
        pause: seconds between two Events about models: those that are verified meanwhile share one.
    """

    def __init__(
        self,
        own: InvolvedObjects | None,
        connect: Callable[[], Cluster],
        now: Callable[[], datetime],
        pause: float = 5.0,
    ) -> None:
        self._own, self._connect, self._now, self._pause = own, connect, now, pause
        self._cluster: Cluster | None = None
        self._verified: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def started(self, reason: str = WARMING) -> None:
        """Tell that a warm, or an import, began."""
        self._tell("Normal", reason, _STARTS[reason])

    def verified(self, key: str, count: int, files: int) -> None:
        """Tell that a model is there, of so many bytes; told from a thread, so that nobody waits for it."""
        if self._own is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._tell_models, daemon=True, name="events")
            self._thread.start()
        self._verified.put(f"{key} ({human_bytes(count)}, {files} files)")

    def collected(self, freed_bytes: int, things: int) -> None:
        """Tell what a collection deleted."""
        self._tell(
            "Normal",
            COLLECTED,
            f"{human_bytes(freed_bytes)} freed: {things} things that nobody needs any more",
        )

    def failed(self, error: ModelCacheError) -> None:
        """Tell a failure: its reason, what happened and what to do, in one line."""
        retried = self._own is not None and self._own.job and error.reason.retryable
        again = " Kubernetes tries again by itself." if retried else ""
        self._tell("Warning", str(error.reason), f"{with_remedy(error.message, error.remedy)}.{again}")

    def ended(self, report: WarmReport) -> None:
        """Tell how a warm or an import ended."""
        if self._thread is not None:
            self._over.set()
            self._verified.put(None)
            self._thread.join(_LAST_SECONDS)
        if report.error is None:
            self._tell("Normal", str(report.reason), outcome(report))
        else:
            self.failed(report.error)

    def _tell_models(self) -> None:
        last = False
        while not last:
            found = [self._verified.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    found.append(self._verified.get_nowait())
            models = [one for one in found if one is not None]
            last = len(models) < len(found)
            if models:
                self._tell("Normal", VERIFIED, f"verified: {', '.join(models)}", of_job_alone=True)
            if not last:
                self._over.wait(self._pause)

    def _tell(self, kind: str, reason: str, message: str, *, of_job_alone: bool = False) -> None:
        if self._own is None:
            return
        try:
            cluster = self._cluster = self._cluster or self._connect()
            for involved in _involved(self._own)[: 1 if of_job_alone else None]:
                self._write(cluster, involved, kind, reason, message)
        except Exception as error:  # noqa: BLE001  # whatever it is: a warm never fails for want of an Event
            _LOG.warning("no Event could be written (%s): %s", reason, _first_line(error))

    def _write(
        self, cluster: Cluster, involved: dict[str, str], kind: str, reason: str, message: str
    ) -> None:
        namespace = involved["namespace"]
        uid = cluster.uid(involved["kind"], namespace, involved["name"])  # `kubectl describe` looks for it
        time = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{involved['name'][:200]}.", "namespace": namespace},
            "involvedObject": {**involved, "uid": uid},
            "type": kind,
            "reason": reason,
            "message": one_line(message),
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": "",
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }
        cluster.create_event(namespace, event)


def outcome(report: WarmReport) -> str:
    """Return the end of a run that was well as a sentence."""
    count, how = (
        (report.bytes_fetched, "fetched")
        if report.bytes_written is None
        else (report.bytes_written, "imported")
    )
    return (
        f"the cache is complete: generation {report.generation[:12]}, {len(report.models)} models, "
        f"{human_bytes(count)} {how} in {report.seconds:.0f} s"
    )


def one_line(text: str, limit: int = MESSAGE_BYTES) -> str:
    """Return the text without line breaks and of at most `limit` bytes of UTF-8.

    What is too long loses its middle: what happened stands first, what to do about it last.
    """
    line = " ".join(text.split())
    encoded = line.encode()
    if len(encoded) <= limit:
        return line
    half = (limit - len(" … ".encode())) // 2
    first, last = encoded[:half].decode(errors="ignore"), encoded[-half:].decode(errors="ignore")
    return f"{first} … {last}"


def _involved(own: InvolvedObjects) -> list[dict[str, str]]:
    named = [("batch/v1", "Job", own.job), ("apps/v1", "Deployment", own.deployment)]
    return [
        {"apiVersion": version, "kind": kind, "namespace": own.namespace, "name": name}
        for version, kind, name in named
        if name
    ]


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
