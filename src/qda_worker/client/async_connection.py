"""An async client's connection: opened and closed, and what may be asked of the worker itself."""

# ruff: noqa: ASYNC109 - a deadline of gRPC's travels to the worker; `asyncio.timeout` around the call would not

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from qda.v1.model_pb2 import GetCacheStatusRequest, ListModelsRequest
from qda.v1.model_pb2_grpc import ModelServiceStub
from qda_worker.client import health as health_check
from qda_worker.client import readiness, state_reading
from qda_worker.client.async_calls import AsyncCalls
from qda_worker.client.channel import DEFAULT_TARGET, Settings
from qda_worker.client.choices import Health
from qda_worker.client.errors import ClientError
from qda_worker.client.worker_state import CacheStatus, Models

if TYPE_CHECKING:  # the async stubs are the same classes, known by these names to type checkers alone
    from qda.v1.model_pb2_grpc import ModelServiceAsyncStub


class AsyncConnection:
    """What `AsyncClient` is before it asks about texts. See `SyncConnection`."""

    def __init__(self, target: str | Settings = DEFAULT_TARGET) -> None:
        """Connects when the first call is made. `target` is `HOST:PORT`, or all the settings.

        Raises:
            InvalidSettings: a setting or a file of TLS that cannot be used.
        """
        self.settings = target if isinstance(target, Settings) else Settings(target)
        self._calls = AsyncCalls(self.settings)

    async def close(self) -> None:
        """Ends the connection; calls that are under way fail with CallCancelled."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def models(self, *, timeout: float = readiness.PROBE_TIMEOUT) -> Models:
        """See `Client.models`."""
        stub = cast("ModelServiceAsyncStub", ModelServiceStub(self._calls.channel()))
        return state_reading.models(await self._calls.ask(stub.ListModels, ListModelsRequest(), timeout))

    async def cache_status(self, *, timeout: float = readiness.PROBE_TIMEOUT) -> CacheStatus:
        """See `Client.cache_status`."""
        stub = cast("ModelServiceAsyncStub", ModelServiceStub(self._calls.channel()))
        return state_reading.cache_status(
            await self._calls.ask(stub.GetCacheStatus, GetCacheStatusRequest(), timeout)
        )

    async def health(self, service: str = "", *, timeout: float = readiness.PROBE_TIMEOUT) -> Health:
        """See `Client.health`."""
        check = self._calls.channel().unary_unary(
            health_check.METHOD,
            request_serializer=health_check.request_bytes,
            response_deserializer=health_check.read_response,
        )
        try:
            return health_check.health(
                await self._calls.ask(check, health_check.health_request(service), timeout)
            )
        except ClientError as error:
            if health_check.is_unknown_service(error):
                return Health.SERVICE_UNKNOWN
            raise

    async def wait_ready(self, timeout: float, *, service: str = "") -> None:
        """See `Client.wait_ready`."""
        deadline = time.monotonic() + timeout
        while True:
            found = await self._health_or_error(service)
            if found is Health.SERVING:
                return
            if not readiness.worth_waiting(found, deadline - time.monotonic()):
                break
            await asyncio.sleep(readiness.PAUSE)
        if isinstance(found, ClientError):
            raise found
        raise readiness.not_ready(found, await self._cache_status_if_told(), service, timeout)

    async def _health_or_error(self, service: str) -> Health | ClientError:
        try:
            return await self.health(service)
        except ClientError as error:
            return error

    async def _cache_status_if_told(self) -> CacheStatus | None:
        try:
            return await self.cache_status()
        except ClientError:  # the worker may have gone meanwhile; that it is not ready is known already
            return None
