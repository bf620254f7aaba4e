"""A Lease as an API server keeps it, its clock in the test's hand."""

import dataclasses
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from cache_warmer.lease.base import ApiConflictError, LeaseState
from cache_warmer.lease.cluster_lease import ClusterLease, LeaseDeps, LeaseTiming

START: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# Nothing is renewed but by what the test calls.
NO_THREAD: Final = LeaseTiming(lasts=60, renewal=3600.0, retry=2.0)


class FakeLeases:
    """One Lease. `failure` is raised by each call; `before_replace` runs before a change is judged."""

    def __init__(self) -> None:
        self.state: LeaseState | None = None
        self.failure: Exception | None = None
        self.before_replace: Callable[[], None] = lambda: None
        self.replaced = threading.Event()
        self._version = 0

    def read(self) -> LeaseState | None:
        self._fail()
        return self.state

    def create(self, wanted: LeaseState) -> LeaseState:
        self._fail()
        if self.state is not None:
            raise ApiConflictError("it exists")
        return self._keep(dataclasses.replace(wanted, uid="uid-1"))

    def replace(self, wanted: LeaseState) -> LeaseState:
        self._fail()
        self.before_replace()
        if self.state is None or self.state.version != wanted.version:
            raise ApiConflictError("it changed")
        kept = self._keep(wanted)
        self.replaced.set()
        return kept

    def _keep(self, wanted: LeaseState) -> LeaseState:
        self._version += 1
        self.state = dataclasses.replace(wanted, version=str(self._version))
        return self.state

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class Clock:
    """Seconds; a sleep passes at once, and then calls `meanwhile`."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.meanwhile: Callable[[], None] = lambda: None
        self.told: list[str] = []
        self.lost = 0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.meanwhile()

    def around(self) -> LeaseDeps:
        return LeaseDeps(self._clock, self._now, self.sleep, self.told.append, self._on_lost)

    def _clock(self) -> float:
        return self.seconds

    def _now(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1000.0)

    def _on_lost(self) -> None:
        self.lost += 1


def lease(
    api: FakeLeases, clock: Clock, who: str = "pod-a_1", patience: float = 0.0, pace: LeaseTiming = NO_THREAD
) -> ClusterLease:
    """A lease of one warmer."""
    return ClusterLease("texts/claim-writer", who, api, patience, clock.around(), pace)
