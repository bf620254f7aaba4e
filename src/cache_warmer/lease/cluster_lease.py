"""The right to write to the claim of a cluster: a Lease that its holder renews, and others take over when it is silent.

`kubernetes.leaderelection` can do none of what is needed here: it does not say what it lost, gives up at the first
error of the API server, and never releases. What this one promises:

* who changes the Lease must have seen its last version (`resourceVersion`), so that two never hold it;
* `leaseTransitions` is the token: a holder that was frozen finds another one there, and publishes nothing;
* silence is judged by the clock of who waits, since the Lease last changed: clocks of two nodes are never compared;
* while the API server is away nobody can take over, so the holder goes on, for twice the lease's time at most.
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
    ApiAwayError,
    ApiConflictError,
    ApiRefusedError,
    LeaseApi,
    LeaseState,
)

_LOG: Final = logging.getLogger(__name__)
_AGAIN: Final = "run the same command again: it goes on from what is there"


def seconds_since_boot() -> float:
    """Return a clock that goes on while the machine sleeps: a lease does not wait for it."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """How long it lasts without a renewal, and the pauses between renewals and between tries, in seconds."""

    lasts: int = 60
    renewal: float = 15.0
    retry: float = 2.0


@dataclass(frozen=True, slots=True)
class LeaseDeps:
    """The world of a lease: clocks, waiting, and whom to tell.

    Attributes:
        clock: seconds, for what lasts.
        now: the time, with a zone, for what others read.
        sleep: waits; raises if the run shall stop.
        tell: called with a sentence about each holder that is waited for.
        on_lost: called once, from the thread that renews, when another took over.
    """

    clock: Callable[[], float]
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    tell: Callable[[str], None]
    on_lost: Callable[[], None]


@dataclass(slots=True)
class ClusterLease:
    """A Lease of coordination.k8s.io/v1.

    Attributes:
        name: `namespace/name`, for messages.
        who: this holder; no other may ever have the same.
        api: the way to it.
        patience: seconds to wait for another holder, or for the API server.
    """

    name: str
    who: str
    api: LeaseApi
    patience: float
    around: LeaseDeps
    pace: LeaseTiming = field(default_factory=LeaseTiming)
    _ours: LeaseState | None = None
    _renewed: float = 0.0
    _lost: LeaseLost | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def uid(self) -> str:
        """Of the Lease that is held, or was last; empty before."""
        return self._ours.uid if self._ours is not None else ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for it, hold and renew it, give it back. Raises `LeaseHeld`, `LeaseLost`, `LeaseForbidden`."""
        self._lost = None
        self._acquire()
        over = threading.Event()
        thread = threading.Thread(target=self._keep, args=(over,), daemon=True, name="lease")
        thread.start()
        try:
            yield
        except Interrupted as stopped:
            if self._lost is not None:
                raise self._lost from stopped
            raise
        finally:
            over.set()
            thread.join(self.pace.retry)
            self._release()

    def check(self) -> None:
        """Return if it is still ours, asking the API server if it might not be. Raises `LeaseLost`."""
        while True:
            if self._lost is not None:
                raise self._lost
            silent = self.around.clock() - self._renewed
            if silent < self.pace.lasts:
                return
            try:
                self._renew()
            except (ApiAwayError, ApiRefusedError) as error:
                if silent >= 2 * self.pace.lasts:
                    raise LeaseLost(
                        f"the Lease {self.name} could not be renewed for {silent:.0f} s: {error}", _AGAIN
                    ) from error
                self.around.sleep(self.pace.retry)

    def _acquire(self) -> None:
        start, waiting = self.around.clock(), _Waiting(self)
        while True:
            try:
                if self._try(waiting):
                    return
            except ApiConflictError:
                waiting.problem = "others took it at the same moment"
            except ApiAwayError as error:
                waiting.problem = f"the API server does not answer ({error})"
            except ApiRefusedError as error:
                raise LeaseForbidden(
                    f"this pod may not use the Lease {self.name}: {error}",
                    "let its service account create Leases and get and update this one, as the chart's Role does",
                ) from error
            left = self.patience - (self.around.clock() - start)
            if left <= 0:
                raise LeaseHeld(
                    f"the Lease {self.name} cannot be had: {waiting.problem}",
                    "wait for it to end, or give --wait a longer time (cacheWarmer.wait)",
                )
            self.around.sleep(min(self.pace.retry, left))

    def _try(self, waiting: "_Waiting") -> bool:
        asked = self.around.clock()
        found = self.api.read()
        if found is not None and found.holder and not waiting.is_silent(found, asked):
            return False
        now = self.around.now()
        wanted = LeaseState(self.who, self.pace.lasts, 0, acquired=now, renewed=now)
        if found is None:
            self._ours = self.api.create(wanted)
        else:
            if found.holder:
                _LOG.warning("taking the Lease %s over from %s, which is silent", self.name, told(found, now))
            self._ours = self.api.replace(
                dataclasses.replace(
                    wanted, transitions=found.transitions + 1, version=found.version, uid=found.uid
                )
            )
        self._renewed = asked
        return True

    def _keep(self, over: threading.Event) -> None:
        away = False
        while not over.wait(self.pace.retry if away else self.pace.renewal) and self._lost is None:
            try:
                self._renew()
            except (ApiAwayError, ApiRefusedError) as error:
                if not away:
                    _LOG.warning("the Lease %s cannot be renewed (%s): going on", self.name, error)
                away = True
            except Exception:  # noqa: BLE001  # what happens in this thread must not end the renewals
                _LOG.exception("the Lease %s cannot be renewed: going on", self.name)
                away = True
            else:
                if away and self._lost is None:
                    _LOG.info("the Lease %s is renewed again", self.name)
                away = False

    def _renew(self) -> None:
        """Renew it, or note that it is lost. Raises `ApiAwayError`, `ApiRefusedError`."""
        with self._lock:
            mine = self._ours
            if mine is None or self._lost is not None:
                return
            asked = self.around.clock()
            try:
                self._ours = self.api.replace(dataclasses.replace(mine, renewed=self.around.now()))
            except ApiConflictError:
                self._ours = self._again(mine)
            if self._lost is None:
                self._renewed = asked

    def _again(self, mine: LeaseState) -> LeaseState:
        """Renew what another changed, if only its holder has not changed: an answer of ours may have been lost."""
        found = self.api.read()
        if found is not None and (found.holder, found.transitions) == (mine.holder, mine.transitions):
            try:
                return self.api.replace(
                    dataclasses.replace(found, seconds=mine.seconds, renewed=self.around.now())
                )
            except ApiConflictError as error:
                raise ApiAwayError("it changes all the time") from error
        taken = (
            "it was deleted"
            if found is None
            else f"it went to {told(found, self.around.now())}"
            if found.holder
            else "another had it meanwhile"
        )
        self._lost = LeaseLost(f"the Lease {self.name} was lost: {taken}", _AGAIN)
        _LOG.warning("%s", self._lost.message)
        self.around.on_lost()
        return mine

    def _release(self) -> None:
        with self._lock:
            mine = self._ours
            if mine is None or self._lost is not None:
                return
            try:
                self.api.replace(
                    dataclasses.replace(mine, holder="", seconds=1, acquired=None, renewed=self.around.now())
                )
            except ApiConflictError:
                _LOG.info("the Lease %s was not ours any more when it was given back", self.name)
            except (ApiAwayError, ApiRefusedError) as error:
                _LOG.warning(
                    "the Lease %s could not be given back (%s): it ends in %d s",
                    self.name,
                    error,
                    self.pace.lasts,
                )


@dataclass(slots=True)
class _Waiting:
    """What is seen of a holder while it is waited for."""

    lease: ClusterLease
    problem: str = "it is held by another"
    _version: str = ""
    _since: float = 0.0
    _told: str = ""

    def is_silent(self, found: LeaseState, asked: float) -> bool:
        """Return whether the holder has not renewed it for the time that it lasts; tell who it is, once."""
        if found.version != self._version:
            self._version, self._since = found.version, asked
        self.problem = f"it is held by {told(found, self.lease.around.now())}"
        if found.holder != self._told:
            self._told = found.holder
            self.lease.around.tell(
                f"waiting for another warmer: {told(found, self.lease.around.now())} has the Lease {self.lease.name}"
            )
        return asked - self._since >= found.seconds


def told(found: LeaseState, now: datetime) -> str:
    """Return who holds it: `pod NAME since 10:11:12 UTC (last sign of life 3 s ago)`."""
    pod = found.holder.partition("_")[0]
    since = f" since {found.acquired:%Y-%m-%d %H:%M:%S} UTC" if found.acquired else ""
    seen = max(0.0, (now - found.renewed).total_seconds()) if found.renewed else None
    return f"pod {pod}{since}" + (f" (last sign of life {seen:.0f} s ago)" if seen is not None else "")
