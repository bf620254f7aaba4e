"""`grpc.health.v1`: alive at once, ready when the models answer.

Three kinds of names: `liveness` is the process, `""` is everything this worker serves, and each service's full name
follows that service's own models. One servicer answers on the main port and on the probes' port.
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
    """The health of this worker. Everything but `liveness` is NOT_SERVING until told otherwise."""

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._server_status = dict.fromkeys((READINESS, *services), _NOT_SERVING) | {LIVENESS: _SERVING}
        self._draining = False
        self._ended = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether this worker is on its way to its end."""
        return self._draining

    async def List(
        self, request: health_pb2.HealthListRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> health_pb2.HealthListResponse:
        """Every name with its status: the library's own asynchronous servicer leaves this call out."""
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
        """The status of a name, and each change of it, until the worker ends: the library's own would go on for ever,
        and hold up the end of every worker that somebody watches.
        """
        watching = asyncio.ensure_future(super().Watch(request, context))
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((watching, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            if not watching.done():
                watching.cancel()
        if self._ended.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "this worker is ending")
        await watching

    async def show(self, serving: Mapping[str, bool]) -> None:
        """Set each name's status, unless the worker drains. Tells watchers what changed."""
        if self._draining:
            return
        for name, serves in serving.items():
            await self.set(name, _SERVING if serves else _NOT_SERVING)

    async def drain(self) -> None:
        """NOT_SERVING for good, except `liveness`: a probe that killed a draining worker would lose its calls."""
        self._draining = True
        for name in self._server_status:
            if name != LIVENESS:
                await self.set(name, _NOT_SERVING)

    def end(self) -> None:
        """Let nobody watch any more."""
        self._ended.set()
