"""The standard health service (`grpc.health.v1`) without the package `grpcio-health-checking`.

The base install does not include that package. The service's two messages have one field each, so protobuf's own
wrapper types have the same encoding: `HealthCheckRequest{string service = 1}` is a `StringValue`,
`HealthCheckResponse{ServingStatus status = 1}` an `Int32Value`.

Also holds the decisions of `wait_ready`, which polls that service: whether to poll again, and which error to raise at
the end. No I/O here; the clients send the requests.
"""

from typing import Final

from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from qda_worker.client.enums import Health
from qda_worker.client.errors import ClientError, DeadlineExceeded, NotReachable, NotReady
from qda_worker.client.status import CacheStatus

CHECK_METHOD: Final = "/grpc.health.v1.Health/Check"

# Default deadline in seconds of the RPCs about the worker itself. It answers them at once, even under load.
PROBE_TIMEOUT: Final = 10.0

# Seconds between two health checks of `wait_ready`.
POLL_INTERVAL: Final = 0.5

# grpc/health/v1/health.proto, HealthCheckResponse.ServingStatus
_SERVING_STATUS: Final = {
    0: Health.UNKNOWN,
    1: Health.SERVING,
    2: Health.NOT_SERVING,
    3: Health.SERVICE_UNKNOWN,
}

serialize_request = StringValue.SerializeToString
deserialize_response = Int32Value.FromString


def check_request(service: str) -> StringValue:
    """Return the request for a service's health; `""` means the whole worker."""
    return StringValue(value=service)


def serving_status(response: Int32Value) -> Health:
    """Return the status that a response reports."""
    return _SERVING_STATUS.get(response.value, Health.UNKNOWN)


def is_unknown_service(error: ClientError) -> bool:
    """Return whether a health check failed because the worker has no service of that name."""
    return error.reason == "NOT_FOUND"


def should_poll_again(outcome: Health | ClientError, remaining: float) -> bool:
    """Return whether the worker may still become ready within the `remaining` seconds."""
    transient = outcome in (Health.NOT_SERVING, Health.UNKNOWN) or isinstance(
        outcome, NotReachable | NotReady | DeadlineExceeded
    )
    return transient and remaining > POLL_INTERVAL


def not_ready(health: Health, cache: CacheStatus | None, service: str, waited: float) -> NotReady:
    """Return the error for a worker that answers and does not serve.

    Args:
        health: the last status.
        cache: the state of its cache, which often is the cause; None if it could not be read.
        service: the service that was checked; `""` is the whole worker.
        waited: seconds.
    """
    subject = service or "the worker"
    if health is Health.SERVICE_UNKNOWN:
        return NotReady(
            f"this worker has no service {service!r}",
            remedy="use a full name, qda.v1.SentimentService for instance",
        )
    if cache is None or cache.reason == "OK":
        return NotReady(f"{subject} is not ready after {waited:g} s")
    return NotReady(
        f"{subject} is not ready after {waited:g} s: {cache.reason}: {cache.detail}", remedy=cache.remedy
    )
