"""Keeps the status file of a warm up to date, from a thread of its own, while the lease is held."""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from cache_warmer.errors import Interrupted
from cache_warmer.reports.progress import Counter
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from model_cache.warm_status import Phase, WarmStatus, dump_status

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 1.0
# Pauses after which it is written though nothing changed: a sign of life.
_HEARTBEAT: Final = 5


@dataclass(slots=True)
class StatusFile:
    """The status file of one run.

    Attributes:
        path: of the file; replaced whole, never changed in place, never synced: it is worth nothing after a crash.
        generation, holder: as in `WarmStatus`.
        counter: what is shown of the transfers.
        now: the time, with a zone.
    """

    path: Path
    generation: str
    holder: str
    counter: Counter
    now: Callable[[], datetime]
    _phase: Phase = Phase.CHECKING
    _started: datetime | None = None
    _written: WarmStatus | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, phase: Phase) -> None:
        """Tell what the run is at from now on; written at the next pause."""
        self._phase = phase

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the file up to date while the block runs; at its end it says how the block ended."""
        self._started, over = self.now(), threading.Event()
        self._write()
        thread = threading.Thread(target=self._keep, args=(over,), daemon=True, name="status")
        thread.start()
        reason, message = Reason.INTERNAL, ""
        try:
            yield
            reason = Reason.OK
        except ModelCacheError as error:
            reason, message = error.reason, error.message
            raise
        except Exception:
            raise
        except BaseException:  # a signal
            reason, message = Interrupted.reason, Interrupted().message
            raise
        finally:
            over.set()
            thread.join(_PAUSE_SECONDS)
            self._phase = Phase.ENDED
            self._write(str(reason), message)

    def _keep(self, over: threading.Event) -> None:
        pauses = 0
        while not over.wait(_PAUSE_SECONDS):
            pauses += 1
            self._write(always=pauses % _HEARTBEAT == 0)

    def _write(self, reason: str = "", message: str = "", *, always: bool = True) -> None:
        moment, now = self.counter.moment(), self.now()
        left = max(0, moment.total - moment.done) / moment.speed if moment.speed else None
        status = WarmStatus(
            phase=self._phase,
            generation=self.generation,
            holder=self.holder,
            started=self._started or now,
            updated=now,
            bytes_done=moment.done,
            bytes_total=moment.total,
            files_done=moment.files_done,
            files_total=moment.files_total,
            bytes_per_second=round(moment.speed, 1) if moment.speed else None,
            seconds_left=round(left, 1) if left is not None else None,
            current=moment.current,
            reason=reason,
            message=message[:2000],
        )
        with self._lock:
            before = self._written
            ended = before is not None and before.phase is Phase.ENDED
            if ended or (not always and before is not None and before._replace(updated=now) == status):
                return
            try:
                self._replace(dump_status(status))
                self._written = status
            except OSError as error:  # a full disk, say, which the transfer will tell with its remedy
                _LOG.debug("the status file cannot be written: %s", error)

    def _replace(self, content: bytes) -> None:
        atomic.make_folders(self.path.parent)
        temporary = self.path.with_name(f".{self.path.name}.tmp")  # one name: what a kill leaves is reused
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(temporary, flags, 0o644)
        try:
            atomic.readable_by_all(descriptor, self.path.parent)
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
        os.replace(temporary, self.path)
