"""A lease among the pods that share a claim: a Lease object that its holder renews, and that others take over.

The protocol, on one object of coordination.k8s.io/v1:

* Acquire: read the Lease; if it is free, write this process as its holder. The API server accepts a write only with
  the `resourceVersion` of the last read, so two processes never hold it.
* Fencing token: `leaseTransitions` grows by one with each new holder. A holder that was suspended (SIGSTOP, a sleeping
  machine) finds another number when it wakes up, and publishes nothing.
* Renew: a daemon thread called `lease` writes `renewTime` every 15 s. The Lease lasts 60 s.
* Take over: a waiting process takes the Lease if its `resourceVersion` has not changed for `leaseDurationSeconds`,
  measured with the waiting process's own clock. The clocks of two nodes are never compared.
* Release: the holder is cleared and the duration set to 1 s, so the next process need not wait. If the API server is
  away at that moment, the release is tried again for the duration of a Lease, unless the run is to stop.

API server outages: while it is away no other process can take over, so the holder goes on. `check` first tries to
renew a Lease that is older than its duration, and gives up after twice that time. Before the Lease is acquired, an
outage counts as waiting. A request that is forbidden ends the acquisition at once; during a renewal it counts as an
outage, because RBAC objects are replaced during upgrades.

A lost answer: a renewal can succeed on the server and fail here. The next one then conflicts with the process's own
write. So after a conflict the Lease is read again, and it is lost only if holder or `leaseTransitions` changed.

Threads: `held` and `check` run in the caller's thread, renewals also in the daemon thread. `_lock` serializes what
changes the Lease. When it is lost, `on_lost` stops the run from the renewing thread, and `held` raises `LeaseLost`.

`kubernetes.leaderelection` has none of this: it does not report what it lost, gives up at the first error of the API
server, and never releases.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cache_warmer.errors import Interrupted, LeaseForbidden, LeaseHeld, LeaseLost
from cache_warmer.lease.base import (
    ApiConflictError,
    ApiForbiddenError,
    ApiUnavailableError,
    LeaseApi,
    LeaseState,
)

_LOG: Final = logging.getLogger(__name__)
_RUN_AGAIN: Final = "run the same command again: it goes on from what is there"


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """Durations, in seconds.

    Attributes:
        duration: how long the Lease lasts after a renewal. The API accepts whole seconds.
        renew_interval: pause between two renewals.
        retry_period: pause after a failure, and between two attempts to acquire.
    """

    duration: int = 60
    renew_interval: float = 15.0
    retry_period: float = 2.0


@dataclass(frozen=True, slots=True)
class LeaseDeps:
    """What a lease uses of its environment: clocks, waiting and callbacks.

    Attributes:
        clock: seconds, for durations.
        now: the time, with a zone, for the fields that others read.
        sleep: waits that many seconds; raises if the run is to stop.
        notify: called with a sentence about each holder that is waited for.
        on_lost: called once, from the thread that renews, when another process took over.
    """

    clock: Callable[[], float]
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    notify: Callable[[str], None]
    on_lost: Callable[[], None]


@dataclass(slots=True)
class ClusterLease:
    """A Lease of coordination.k8s.io/v1.

    Attributes:
        name: `namespace/name`, for messages.
        identity: of this process as a holder; unique over all processes and restarts.
        api: access to the Lease.
        timeout: seconds to wait for another holder, or for the API server.
        deps: clocks, waiting and callbacks.
        timing: durations of the protocol.
        superseded: the silent holder from whom the Lease was taken over; empty: it was free.
    """

    name: str
    identity: str
    api: LeaseApi
    timeout: float
    deps: LeaseDeps
    timing: LeaseTiming = field(default_factory=LeaseTiming)
    superseded: str = ""
    # As last written by this process; None before it was acquired.
    _state: LeaseState | None = None
    # When the last successful renewal was sent, by `deps.clock`.
    _renewed_at: float = 0.0
    _lost: LeaseLost | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def uid(self) -> str:
        """Return the uid of the Lease that is, or was last, held; empty before."""
        return self._state.uid if self._state is not None else ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the Lease, hold and renew it, and release it.

        Raises:
            LeaseHeld: another process holds it, or the API server is away, for longer than the timeout.
            LeaseLost: another process took over while the block ran.
            LeaseForbidden: this account may not use it.
        """
        self._lost = None
        self._acquire()
        released = threading.Event()
        thread = threading.Thread(target=self._renew_loop, args=(released,), daemon=True, name="lease")
        thread.start()
        try:
            yield
        except Interrupted as interrupted:
            if self._lost is not None:  # `on_lost` interrupted the run
                raise self._lost from interrupted
            raise
        finally:
            released.set()
            thread.join(self.timing.retry_period)
            self._release()

    def check(self) -> None:
        """Confirm that the Lease is still held; query the API server if it may have expired.

        Raises:
            LeaseLost: another process took over, or it could not be renewed for twice its duration.
        """
        while True:
            if self._lost is not None:
                raise self._lost
            age = self.deps.clock() - self._renewed_at
            if age < self.timing.duration:
                return
            try:
                self._renew()
            except (ApiUnavailableError, ApiForbiddenError) as error:
                if age >= 2 * self.timing.duration:
                    raise LeaseLost(
                        f"the Lease {self.name} could not be renewed for {age:.0f} s: {error}", _RUN_AGAIN
                    ) from error
                self.deps.sleep(self.timing.retry_period)

    def _acquire(self) -> None:
        start, observer = self.deps.clock(), _HolderObserver(self.name, self.deps)
        while True:
            try:
                if self._try_acquire(observer):
                    return
            except ApiConflictError:
                observer.problem = "others took it at the same moment"
            except ApiUnavailableError as error:
                observer.problem = f"the API server does not answer ({error})"
            except ApiForbiddenError as error:
                raise LeaseForbidden(
                    f"this pod may not use the Lease {self.name}: {error}",
                    "let its service account create Leases and get and update this one, as the chart's Role does",
                ) from error
            left = self.timeout - (self.deps.clock() - start)
            if left <= 0:
                raise LeaseHeld(
                    f"the Lease {self.name} cannot be acquired: {observer.problem}",
                    "wait for it to end, or give --wait a longer time (cacheWarmer.wait)",
                )
            self.deps.sleep(min(self.timing.retry_period, left))

    def _try_acquire(self, observer: "_HolderObserver") -> bool:
        """Take the Lease if it is free or has expired. Returns False if another process holds it."""
        sent_at = self.deps.clock()
        found = self.api.read()
        if found is not None and found.holder and not observer.has_expired(found, sent_at):
            return False
        now = self.deps.now()
        self.superseded = found.holder if found is not None else ""
        lease = LeaseState(self.identity, self.timing.duration, 0, acquire_time=now, renew_time=now)
        if found is None:
            self._state = self.api.create(lease)
        else:
            if found.holder:
                holder = describe_holder(found, now)
                _LOG.warning("taking the Lease %s over from %s, which is silent", self.name, holder)
            self._state = self.api.replace(
                dataclasses.replace(
                    lease,
                    transitions=found.transitions + 1,
                    resource_version=found.resource_version,
                    uid=found.uid,
                    owners=found.owners,
                )
            )
        self._renewed_at = sent_at
        return True

    def _renew_loop(self, released: threading.Event) -> None:
        """Renew until the Lease is released or lost; the daemon thread."""
        failing = False
        while (
            not released.wait(self.timing.retry_period if failing else self.timing.renew_interval)
            and self._lost is None
        ):
            try:
                self._renew()
            except (ApiUnavailableError, ApiForbiddenError) as error:
                if not failing:
                    _LOG.warning("the Lease %s cannot be renewed (%s): going on", self.name, error)
                failing = True
            except Exception:  # noqa: BLE001  # a failure in this thread must not end the renewals
                _LOG.exception("the Lease %s cannot be renewed: going on", self.name)
                failing = True
            else:
                if failing and self._lost is None:
                    _LOG.info("the Lease %s is renewed again", self.name)
                failing = False

    def _renew(self) -> None:
        """Renew the Lease, or record that it is lost. Raises `ApiUnavailableError`, `ApiForbiddenError`."""
        with self._lock:
            state = self._state
            if state is None or self._lost is not None:
                return
            sent_at = self.deps.clock()  # not when the answer came: the Lease may have expired meanwhile
            try:
                self._state = self.api.replace(dataclasses.replace(state, renew_time=self.deps.now()))
            except ApiConflictError:
                self._state = self._renew_after_conflict(state)
            if self._lost is None:
                self._renewed_at = sent_at

    def _renew_after_conflict(self, state: LeaseState) -> LeaseState:
        """Renew a Lease that was changed if this process still holds it; else record that it is lost."""
        found = self.api.read()
        if found is not None and (found.holder, found.transitions) == (state.holder, state.transitions):
            try:
                return self.api.replace(
                    dataclasses.replace(
                        found, duration_seconds=state.duration_seconds, renew_time=self.deps.now()
                    )
                )
            except ApiConflictError as error:
                raise ApiUnavailableError("it changes all the time") from error
        if found is None:
            cause = "it was deleted"
        elif found.holder:
            cause = f"it went to {describe_holder(found, self.deps.now())}"
        else:
            cause = "another process held it in the meantime"
        self._lost = LeaseLost(f"the Lease {self.name} was lost: {cause}", _RUN_AGAIN)
        _LOG.warning("%s", self._lost.message)
        self.deps.on_lost()
        return state

    def _release(self) -> None:
        with self._lock:
            state = self._state
            if state is None or self._lost is not None:
                return
            start = self.deps.clock()
            while True:
                free = dataclasses.replace(
                    state, holder="", duration_seconds=1, acquire_time=None, renew_time=self.deps.now()
                )
                try:
                    self.api.replace(free)
                except ApiConflictError:
                    _LOG.info("the Lease %s was not held any more when it was released", self.name)
                except (ApiUnavailableError, ApiForbiddenError) as error:
                    if isinstance(error, ApiUnavailableError) and self._may_retry_release(start):
                        continue
                    _LOG.warning(
                        "the Lease %s could not be released (%s): it expires in %d s",
                        self.name,
                        error,
                        self.timing.duration,
                    )
                return

    def _may_retry_release(self, start: float) -> bool:
        """Wait for one retry period. Return False if it was tried for long enough or the run is to stop.

        The next holder waits for its whole duration, counted from its own first look at it.
        """
        if self.deps.clock() - start >= self.timing.duration:
            return False
        try:
            self.deps.sleep(self.timing.retry_period)
        except Interrupted:
            return False
        return True


@dataclass(slots=True)
class _HolderObserver:
    """Observes the holder of a Lease while this process waits.

    Attributes:
        lease_name, deps: of the lease.
        problem: why the Lease could not be acquired so far.
    """

    lease_name: str
    deps: LeaseDeps
    problem: str = "it is held by another"
    _resource_version: str = ""
    _unchanged_since: float = 0.0
    _notified_of: str = ""

    def has_expired(self, found: LeaseState, sent_at: float) -> bool:
        """Return whether the holder has not renewed the Lease for its duration; announce each holder once.

        Args:
            found: the Lease as read now.
            sent_at: when that read was sent, by `deps.clock`.
        """
        if found.resource_version != self._resource_version:
            self._resource_version, self._unchanged_since = found.resource_version, sent_at
        holder = describe_holder(found, self.deps.now())
        self.problem = f"it is held by {holder}"
        if found.holder != self._notified_of:
            self._notified_of = found.holder
            self.deps.notify(f"waiting for another warmer: {holder} has the Lease {self.lease_name}")
        return sent_at - self._unchanged_since >= found.duration_seconds


def describe_holder(lease: LeaseState, now: datetime) -> str:
    """Return the holder of a Lease, for people: `pod NAME since 2026-01-02 10:11:12 UTC (last renewed 3 s ago)`."""
    pod = lease.holder.partition("_")[0]
    since = f" since {lease.acquire_time:%Y-%m-%d %H:%M:%S} UTC" if lease.acquire_time else ""
    if lease.renew_time is None:
        return f"pod {pod}{since}"
    age = max(0.0, (now - lease.renew_time).total_seconds())
    return f"pod {pod}{since} (last renewed {age:.0f} s ago)"


def seconds_since_boot() -> float:
    """Return a clock that goes on while the machine sleeps, because a Lease expires meanwhile."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
