"""What waiting for a worker goes by. Pure."""

from __future__ import annotations

from qda_worker.client.choices import Health
from qda_worker.client.errors import ClientError, DeadlineExceeded, NotReachable, NotReady
from qda_worker.client.worker_state import CacheStatus

PROBE_TIMEOUT = 10.0
"""Seconds that a worker has to say how it is; it answers these questions at once."""

PAUSE = 0.5
"""Seconds between two questions."""


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
