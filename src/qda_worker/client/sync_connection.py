"""A sync client's connection: opened and closed, and what may be asked of the worker itself."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from qda.v1.model_pb2 import GetCacheStatusRequest, ListModelsRequest
from qda.v1.model_pb2_grpc import ModelServiceStub
from qda_worker.client import health as health_check
from qda_worker.client import readiness, state_reading
from qda_worker.client.channel import DEFAULT_TARGET, Settings
from qda_worker.client.choices import Health
from qda_worker.client.errors import ClientError
from qda_worker.client.sync_calls import Calls
from qda_worker.client.worker_state import CacheStatus, Models


class SyncConnection:
    """What `Client` is before it asks about texts. Questions about the worker are answered at once, or not at all."""

    def __init__(self, target: str | Settings = DEFAULT_TARGET) -> None:
        """Connects when the first call is made. `target` is `HOST:PORT`, or all the settings.

        Raises:
            InvalidSettings: a setting or a file of TLS that cannot be used.
        """
        self.settings = target if isinstance(target, Settings) else Settings(target)
        self._calls = Calls(self.settings)

    def close(self) -> None:
        """Ends the connection; calls that are under way in other threads fail with CallCancelled."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def models(self, *, timeout: float = readiness.PROBE_TIMEOUT) -> Models:
        """The models that the worker serves, and what a request may hold. Answered also while it is not ready."""
        stub = ModelServiceStub(self._calls.channel())
        return state_reading.models(self._calls.ask(stub.ListModels, ListModelsRequest(), timeout))

    def cache_status(self, *, timeout: float = readiness.PROBE_TIMEOUT) -> CacheStatus:
        """What the worker's last check of its cache found. Answered also while it is not ready."""
        stub = ModelServiceStub(self._calls.channel())
        return state_reading.cache_status(
            self._calls.ask(stub.GetCacheStatus, GetCacheStatusRequest(), timeout)
        )

    def health(self, service: str = "", *, timeout: float = readiness.PROBE_TIMEOUT) -> Health:
        """The health of a service by its full name, `qda.v1.EntityService`; `""` is all that the worker serves."""
        check = self._calls.channel().unary_unary(
            health_check.METHOD,
            request_serializer=health_check.request_bytes,
            response_deserializer=health_check.read_response,
        )
        try:
            return health_check.health(self._calls.ask(check, health_check.health_request(service), timeout))
        except ClientError as error:
            if health_check.is_unknown_service(error):
                return Health.SERVICE_UNKNOWN
            raise

    def wait_ready(self, timeout: float, *, service: str = "") -> None:
        """Returns as soon as the worker serves.

        Raises:
            NotReady: it did not within `timeout` seconds; with the reason that the worker gives.
            NotReachable: nobody answered at the end of that time.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = self._health_or_error(service)
            if found is Health.SERVING:
                return
            if not readiness.worth_waiting(found, deadline - time.monotonic()):
                break
            time.sleep(readiness.PAUSE)
        if isinstance(found, ClientError):
            raise found
        raise readiness.not_ready(found, self._cache_status_if_told(), service, timeout)

    def _health_or_error(self, service: str) -> Health | ClientError:
        try:
            return self.health(service)
        except ClientError as error:
            return error

    def _cache_status_if_told(self) -> CacheStatus | None:
        try:
            return self.cache_status()
        except ClientError:  # the worker may have gone meanwhile; that it is not ready is known already
            return None
