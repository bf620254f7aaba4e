"""Health checks, and waiting until the worker is ready."""

import socket

import pytest

from qda_worker.client import (
    Health,
    NotReachable,
    NotReady,
    Settings,
)
from tests.client.conftest import Invoke
from tests.support.fake_worker import FakeWorker


@pytest.mark.parametrize(
    ("service", "expected"),
    [("", Health.SERVING), ("qda.v1.EntityService", Health.NOT_SERVING), ("typo", Health.SERVICE_UNKNOWN)],
)
def test_health_is_that_of_the_requested_service(
    worker: FakeWorker, invoke: Invoke, service: str, expected: Health
) -> None:
    worker.health["qda.v1.EntityService"] = 2
    assert invoke(Settings(worker.target), "health", service) is expected


def test_waiting_ends_as_soon_as_the_worker_serves(worker: FakeWorker, invoke: Invoke) -> None:
    assert invoke(Settings(worker.target), "wait_ready", 30) is None


def test_a_worker_that_stays_not_ready_is_reported_with_its_reason(
    worker: FakeWorker, invoke: Invoke
) -> None:
    worker.health[""] = 2
    with pytest.raises(NotReady, match="CACHE_INCOMPLETE: 1 file is missing") as caught:
        invoke(Settings(worker.target), "wait_ready", 0.1)
    assert caught.value.remedy == "run cache-warmer warm"


def test_waiting_for_an_unknown_service_ends_at_once(worker: FakeWorker, invoke: Invoke) -> None:
    with pytest.raises(NotReady, match="no service 'typo'"):
        invoke(Settings(worker.target), "wait_ready", 3600, service="typo")


def test_waiting_for_an_unreachable_worker_ends_with_not_reachable(invoke: Invoke) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NotReachable, match=target):
        invoke(Settings(target), "wait_ready", 0.6)
