"""`grpc.health.v1`: liveness from the start, readiness once the models answer.

Three kinds of service names are reported:

- `liveness`: the process itself; SERVING unless a model hangs in one of its threads, which only a restart can end.
- `""` (the empty name): the whole worker; Kubernetes readiness probes use it.
- each service's full name: SERVING while the models of that service do.

One servicer answers on the main port and on the probe port. It runs on the event loop, which is the only writer of the
statuses. On shutdown `drain` sets all names but `liveness` to NOT_SERVING permanently, and `stop_watchers` ends the
open `Watch` streams, which would otherwise keep the servers from stopping.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_health.v1.health import aio as health_aio

__all__ = ["HEALTH_SERVICE", "LIVENESS", "READINESS", "Health"]

LIVENESS: Final = "liveness"
READINESS: Final = ""

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(health_aio.HealthServicer):  # type: ignore[misc]  # grpcio-health-checking ships no types
    """The health of this worker. Everything but `liveness` is NOT_SERVING until `update` sets it."""

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._server_status = dict.fromkeys((READINESS, *services), _NOT_SERVING) | {LIVENESS: _SERVING}
        self._draining = False
        self._stopping = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether this worker is shutting down."""
        return self._draining

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

    async def drain(self) -> None:
        """Set all names except `liveness` to NOT_SERVING permanently.

        If a liveness probe failed, Kubernetes would kill the draining worker and abort its calls.
        """
        self._draining = True
        for name in self._server_status:
            if name != LIVENESS:
                await self.set(name, _NOT_SERVING)

    def stop_watchers(self) -> None:
        """End all `Watch` streams with UNAVAILABLE."""
        self._stopping.set()
