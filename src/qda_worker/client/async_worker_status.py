"""The calls of the async client about the worker itself: its models, its cache and its health.

`worker_status`, the same for the sync client, is generated from this module as `async_client` describes.
"""

# ruff: noqa: ASYNC109 - gRPC sends a timeout to the worker as the call's deadline; `asyncio.timeout` would not

import asyncio
import time

from qda.v1.model_pb2 import GetCacheStatusRequest, ListModelsRequest
from qda_worker.client import health, status_from_proto
from qda_worker.client.async_transport import AsyncTransport
from qda_worker.client.enums import Health
from qda_worker.client.errors import ClientError
from qda_worker.client.health import PROBE_TIMEOUT
from qda_worker.client.status import CacheStatus, Models


class AsyncWorkerStatus:
    """The methods of the client that analyze no texts."""

    _transport: AsyncTransport

    async def models(self, *, timeout: float = PROBE_TIMEOUT) -> Models:
        """Return the worker's models and its limits, also while it is not ready."""
        response = await self._transport.call(
            self._transport.models().ListModels, ListModelsRequest(), timeout
        )
        return status_from_proto.models(response)

    async def cache_status(self, *, timeout: float = PROBE_TIMEOUT) -> CacheStatus:
        """Return the result of the worker's last check of its cache, also while it is not ready."""
        response = await self._transport.call(
            self._transport.models().GetCacheStatus, GetCacheStatusRequest(), timeout
        )
        return status_from_proto.cache_status(response)

    async def health(self, service: str = "", *, timeout: float = PROBE_TIMEOUT) -> Health:
        """Return the health of a service.

        Args:
            service: its full name, `qda.v1.EntityService` for instance; empty: the whole worker.
        """
        request = health.check_request(service)
        try:
            response = await self._transport.call(self._transport.health_check(), request, timeout)
        except ClientError as error:
            if health.is_unknown_service(error):
                return Health.SERVICE_UNKNOWN
            raise
        return health.serving_status(response)

    async def wait_ready(self, timeout: float, *, service: str = "") -> None:
        """Return as soon as the worker serves.

        Args:
            timeout: seconds.
            service: as for `health`.

        Raises:
            NotReady: when it does not serve within that time; with the reason that the worker reports.
            NotReachable: when no worker answers at the end of that time.
        """
        deadline = time.monotonic() + timeout
        while True:
            outcome = await self._health_or_error(service)
            if outcome is Health.SERVING:
                return
            if not health.should_poll_again(outcome, deadline - time.monotonic()):
                break
            await asyncio.sleep(health.POLL_INTERVAL)
        if isinstance(outcome, ClientError):
            raise outcome
        raise health.not_ready(outcome, await self._cache_status_or_none(), service, timeout)

    async def _health_or_error(self, service: str) -> Health | ClientError:
        try:
            return await self.health(service)
        except ClientError as error:
            return error

    async def _cache_status_or_none(self) -> CacheStatus | None:
        try:
            return await self.cache_status()
        except ClientError:  # only adds the cause to an error; the worker may have gone since
            return None
