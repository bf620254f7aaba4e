"""The standard health service (`grpc.health.v1`), called without the package `grpcio-health-checking`.

The base install of this project does not bring that package. Its two messages have one field each, and the wrapper
types that protobuf itself brings have the same bytes on the wire: `HealthCheckRequest{string service = 1}` is a
`StringValue`, `HealthCheckResponse{ServingStatus status = 1}` an `Int32Value`.

What waiting for a worker goes by. Pure.
"""

from typing import Final

from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from qda_worker.client.enums import Health
from qda_worker.client.errors import ClientError, DeadlineExceeded, NotReachable, NotReady
from qda_worker.client.status import CacheStatus

# Full name of the method.
METHOD: Final = "/grpc.health.v1.Health/Check"

# grpc/health/v1/health.proto, HealthCheckResponse.ServingStatus
_STATUS: Final = {0: Health.UNKNOWN, 1: Health.SERVING, 2: Health.NOT_SERVING, 3: Health.SERVICE_UNKNOWN}

# Serializer of the request.
request_bytes = StringValue.SerializeToString

# Deserializer of the response.
read_response = Int32Value.FromString


def health_request(service: str) -> StringValue:
    """Asks for a service's health; `""` is all that the worker serves."""
    return StringValue(value=service)


def health(response: Int32Value) -> Health:
    """The answer in a word."""
    return _STATUS.get(response.value, Health.UNKNOWN)


def is_unknown_service(error: ClientError) -> bool:
    """Whether a failed check only says that there is no service of that name."""
    return error.reason == "NOT_FOUND"


# Seconds that a worker has to say how it is; it answers these questions at once.
PROBE_TIMEOUT: Final = 10.0

# Seconds between two questions.
PAUSE: Final = 0.5


def worth_waiting(found: Health | ClientError, remaining: float) -> bool:
    """Whether to ask again: the worker may still come, or become ready, in the `remaining` seconds."""
    passing = found in (Health.NOT_SERVING, Health.UNKNOWN) or isinstance(
        found, NotReachable | NotReady | DeadlineExceeded
    )
    return passing and remaining > PAUSE


def not_ready(found: Health, status: CacheStatus | None, service: str, waited: float) -> NotReady:
    """The error of a worker that is there and does not serve; `status` tells why, if it could be asked."""
    what = service or "the worker"
    if found is Health.SERVICE_UNKNOWN:
        return NotReady(
            f"this worker has no service {service!r}",
            remedy="use a full name, qda.v1.SentimentService for instance",
        )
    if status is None or status.reason == "OK":
        return NotReady(f"{what} is not ready after {waited:g} s")
    return NotReady(
        f"{what} is not ready after {waited:g} s: {status.reason}: {status.detail}", remedy=status.remedy
    )
