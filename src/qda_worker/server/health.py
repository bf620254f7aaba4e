"""`grpc.health.v1`: liveness from the start, readiness once the models answer.

These service names are reported:

- `liveness`: the process itself; SERVING unless a model hangs in one of its threads, which only a restart can end.
- `""` (the empty name): the whole worker; Kubernetes readiness probes use it.
- each service's full name: SERVING while the models of that service do.
- `startup` and `readiness`: the same as `liveness` and `""`, for the probes of the kubelet. A check that fails ends
  with UNAVAILABLE and the reason as its message, which the kubelet writes into an Event of the pod; of the standard
  answer it would write NOT_SERVING alone. The first check of `startup` fails in this way if the former container of
  the pod was killed, because nothing else can write an Event about that: a worker has no token for the API server.

The kubelet writes an Event for each check that fails, but at most 25 for a pod and then one in five minutes, and drops
further ones, whatever they are about. Until the worker is ready for the first time, a check of `readiness` is therefore
held until shortly before its deadline. It ends at once when the worker gets ready, so the pod is not ready later.

One servicer answers on the main port and on the probe port. It runs on the event loop, which is the only writer of the
statuses. On shutdown `drain` sets all names but `liveness` to NOT_SERVING permanently, and `stop_watchers` ends the
open `Watch` streams, which would otherwise keep the servers from stopping.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_health.v1.health import aio as health_aio

from model_cache.formatting import one_line

__all__ = ["HEALTH_SERVICE", "LIVENESS", "READINESS", "READINESS_PROBE", "STARTUP_PROBE", "Health"]

LIVENESS: Final = "liveness"
READINESS: Final = ""
STARTUP_PROBE: Final = "startup"
READINESS_PROBE: Final = "readiness"
# Limit of the message of a failed probe. The kubelet adds to it, and an Event holds 1024 bytes.
_MAX_MESSAGE_BYTES: Final = 900
# How long before its deadline a check that was held is answered, in seconds: a model that is loaded may delay it.
_HOLD_MARGIN_SECONDS: Final = 3.0

# Names that stay SERVING during a shutdown.
_ALIVE: Final = (LIVENESS, STARTUP_PROBE)
# The name for probes of each name that they check.
_PROBE_NAMES: Final = {LIVENESS: STARTUP_PROBE, READINESS: READINESS_PROBE}

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(health_aio.HealthServicer):  # type: ignore[misc]  # grpcio-health-checking ships no types
    """The health of this worker. Everything but `liveness` and `startup` is NOT_SERVING until `update` sets it."""

    def __init__(
        self,
        services: Iterable[str],
        *,
        startup_notice: str = "",
        unready_reason: Callable[[], str] = lambda: "",
    ) -> None:
        """Create the servicer.

        Args:
            services: full names of the services.
            startup_notice: with which the first check of `startup` fails; empty: it does not fail.
            unready_reason: returns why the worker is not ready, without anything that changes from check to check.
        """
        super().__init__()
        unready = (READINESS, READINESS_PROBE, *services)
        self._server_status = dict.fromkeys(unready, _NOT_SERVING) | dict.fromkeys(_ALIVE, _SERVING)
        self._startup_notice, self._unready_reason = startup_notice, unready_reason
        self._starting_over = asyncio.Event()  # the worker was ready once, or drains
        self._draining = False
        self._stopping = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether this worker is shutting down."""
        return self._draining

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> health_pb2.HealthCheckResponse:
        """Return the status of a name; a probe that fails ends with UNAVAILABLE and the reason."""
        message = ""
        if request.service == STARTUP_PROBE:
            message, self._startup_notice = self._startup_notice, ""
        elif request.service == READINESS_PROBE and await self._is_unready(context):
            message = "this worker is shutting down" if self._draining else self._unready_reason()
        if message:
            await context.abort(grpc.StatusCode.UNAVAILABLE, one_line(message, _MAX_MESSAGE_BYTES))
        return await super().Check(request, context)

    async def _is_unready(self, context: "grpc.aio.ServicerContext[Any, Any]") -> bool:
        """Return whether the worker is not ready; until it is so for the first time, wait for that."""
        if not self._starting_over.is_set():
            seconds = (context.time_remaining() or 0.0) - _HOLD_MARGIN_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, seconds)):
                    await self._starting_over.wait()
        return bool(self._server_status[READINESS_PROBE] != _SERVING)

    async def List(
        self, request: health_pb2.HealthListRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> health_pb2.HealthListResponse:
        """Return every name with its status. The library's asynchronous servicer does not implement this method."""
        return health_pb2.HealthListResponse(
            statuses={
                name: health_pb2.HealthCheckResponse(status=status)
                for name, status in self._server_status.items()
            }
        )

    async def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> None:
        """Stream the status of a name and each change of it, until `stop_watchers` is called.

        The library's own stream never ends, so that one watcher would delay the shutdown by the whole grace period.
        """
        watch = asyncio.ensure_future(super().Watch(request, context))
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((watch, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not watch.done():
                watch.cancel()
        if self._stopping.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this worker is shutting down")
        await watch

    async def update(self, serving: Mapping[str, bool]) -> None:
        """Set the status of each name and notify its watchers. Does nothing while the worker drains."""
        if self._draining:
            return
        for name, serves in serving.items():
            await self.set(name, _SERVING if serves else _NOT_SERVING)
            if name in _PROBE_NAMES:
                await self.set(_PROBE_NAMES[name], _SERVING if serves else _NOT_SERVING)
        if serving.get(READINESS):
            self._starting_over.set()

    async def drain(self) -> None:
        """Set all names except `liveness` and `startup` to NOT_SERVING permanently.

        If a liveness probe failed, Kubernetes would kill the draining worker and abort its calls.
        """
        self._draining = True
        self._starting_over.set()
        for name in self._server_status:
            if name not in _ALIVE:
                await self.set(name, _NOT_SERVING)

    def stop_watchers(self) -> None:
        """End all `Watch` streams with UNAVAILABLE."""
        self._stopping.set()
