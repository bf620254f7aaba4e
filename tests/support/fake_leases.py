"""A Lease as an API server stores it, and a clock that the test controls."""

import dataclasses
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from cache_warmer.lease.base import ApiConflictError, LeaseState
from cache_warmer.lease.cluster_lease import ClusterLease, LeaseDeps, LeaseTiming

START: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# The renewing thread does nothing: only calls of the test renew.
NO_THREAD: Final = LeaseTiming(duration=60, renew_interval=3600.0, retry_period=2.0)


class FakeLeases:
    """Implements `LeaseApi` with one Lease in memory.

    `failure` is raised by each call. `before_replace` is called before the version of a replacement is compared.
    """

    def __init__(self) -> None:
        self.state: LeaseState | None = None
        self.failure: Exception | None = None
        self.before_replace: Callable[[], None] = lambda: None
        self.replaced = threading.Event()
        self._version = 0

    def read(self) -> LeaseState | None:
        self._fail()
        return self.state

    def create(self, lease: LeaseState) -> LeaseState:
        self._fail()
        if self.state is not None:
            raise ApiConflictError("it exists")
        return self._store(dataclasses.replace(lease, uid="uid-1"))

    def replace(self, lease: LeaseState) -> LeaseState:
        self._fail()
        self.before_replace()
        if self.state is None or self.state.resource_version != lease.resource_version:
            raise ApiConflictError("it changed")
        stored = self._store(lease)
        self.replaced.set()
        return stored

    def _store(self, lease: LeaseState) -> LeaseState:
        self._version += 1
        self.state = dataclasses.replace(lease, resource_version=str(self._version))
        return self.state

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class Clock:
    """A clock in seconds. A sleep advances it at once, then calls `meanwhile`.

    `notices` and `lost` record what a lease notifies of.
    """

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.meanwhile: Callable[[], None] = lambda: None
        self.notices: list[str] = []
        self.lost = 0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.meanwhile()

    def deps(self) -> LeaseDeps:
        return LeaseDeps(self._clock, self._now, self.sleep, self.notices.append, self._on_lost)

    def _clock(self) -> float:
        return self.seconds

    def _now(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1000.0)

    def _on_lost(self) -> None:
        self.lost += 1


def cluster_lease(
    api: FakeLeases,
    clock: Clock,
    identity: str = "pod-a_1",
    timeout: float = 0.0,
    timing: LeaseTiming = NO_THREAD,
) -> ClusterLease:
    """Return the lease of one warmer."""
    return ClusterLease("texts/claim-writer", identity, api, timeout, clock.deps(), timing)
