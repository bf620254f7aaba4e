"""Maintain the status file of a run on the volume, which workers export as metrics and `cache-check` shows.

A daemon thread writes the file once a second if something changed, and every five seconds as a heartbeat; the main
thread writes it at the start and at the end. Readers treat a file without a heartbeat as that of a crashed run.

The file is replaced by rename and never synced to disk: after a crash it has no value. A failure to write it (a full
disk) is logged at debug level and does not fail the run, which reports the cause itself.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from cache_warmer.errors import Interrupted
from cache_warmer.reports.progress import ProgressCounter
from model_cache.containment import CacheBoundary
from model_cache.errors import ModelCacheError
from model_cache.file_io import replacement
from model_cache.memory import MemoryUse, memory_use
from model_cache.reasons import Reason
from model_cache.warm_status import Phase, WarmStatus, dump_status, read_status_file

_LOG: Final = logging.getLogger(__name__)
_INTERVAL_SECONDS: Final = 1.0
# Intervals after which the file is written though nothing changed: readers wait 30 seconds for it (`warm_status`).
_HEARTBEAT_INTERVALS: Final = 5
# Characters of an error message that the file holds.
_MAX_MESSAGE: Final = 2000


@dataclass(slots=True)
class StatusFile:
    """The status file of one run.

    Attributes:
        path: the path of the file.
        generation: see `WarmStatus`.
        holder: see `WarmStatus`.
        counter: the progress of the transfers.
        now: returns the time, with a zone.
        on_interrupted: called with the last status of the run before, if that did not end by itself.
        memory: returns the memory of the container.
    """

    path: Path
    generation: str
    holder: str
    counter: ProgressCounter
    now: Callable[[], datetime]
    on_interrupted: Callable[[WarmStatus], None] = lambda _: None
    memory: Callable[[], MemoryUse | None] = memory_use
    _phase: Phase = Phase.CHECKING
    _started: datetime | None = None
    _written: WarmStatus | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter_phase(self, phase: Phase) -> None:
        """Set the phase of the run; the thread writes it at its next interval."""
        self._phase = phase

    @contextmanager
    def maintain(self) -> Iterator[None]:
        """Keep the file up to date while the block runs; its last content says how the block ended.

        The caller holds the lease. A former run whose status has no end was therefore killed.
        """
        former = read_status_file(self.path)
        if former is not None and former.phase is not Phase.ENDED:
            self.on_interrupted(former)
        self._started, ended = self.now(), threading.Event()
        self._write()
        thread = threading.Thread(target=self._update, args=(ended,), daemon=True, name="status")
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
            ended.set()
            thread.join(_INTERVAL_SECONDS)
            self._phase = Phase.ENDED
            self._write(str(reason), message)

    def record_end(self, reason: Reason, message: str, former: WarmStatus | None) -> None:
        """Write how a run ended that had nothing to do, or failed before `maintain`.

        Without it the file would keep the failure of an earlier run after a success, and would not name a failure in
        the first steps. The status of another run that lasts is left as it is.

        Args:
            reason: why the run ended.
            message: the message of a failure.
            former: what the file says now.
        """
        if self._written is None and (former is None or not former.is_running(self.now())):
            self._phase = Phase.ENDED
            self._write(str(reason), message)

    def _update(self, ended: threading.Event) -> None:
        intervals = 0
        while not ended.wait(_INTERVAL_SECONDS):
            intervals += 1
            self._write(always=intervals % _HEARTBEAT_INTERVALS == 0)

    def _write(self, reason: str = "", message: str = "", *, always: bool = True) -> None:
        """Write the status, unless it is unchanged and `always` is false."""
        status = self._status(reason, message)
        with self._lock:
            former = self._written
            # A thread that was not joined in time must not replace the last content.
            ended = former is not None and former.phase is Phase.ENDED
            unchanged = former is not None and _progress(former) == _progress(status)
            if ended or (unchanged and not always):
                return
            try:
                self._replace(dump_status(status))
                self._written = status
            except OSError as error:
                _LOG.debug("the status file cannot be written: %s", error)

    def _status(self, reason: str, message: str) -> WarmStatus:
        progress, now = self.counter.snapshot(), self.now()
        memory = self.memory() or MemoryUse(0)
        left = max(0, progress.total - progress.done) / progress.speed if progress.speed else None
        return WarmStatus(
            phase=self._phase,
            generation=self.generation,
            holder=self.holder,
            started=self._started or now,
            updated=now,
            bytes_done=progress.done,
            bytes_total=progress.total,
            files_done=progress.files_done,
            files_total=progress.files_total,
            bytes_per_second=round(progress.speed, 1) if progress.speed else None,
            seconds_left=round(left, 1) if left is not None else None,
            current=progress.current,
            reason=reason,
            message=message[:_MAX_MESSAGE],
            memory_used=memory.used,
            memory_limit=memory.limit,
        )

    def _replace(self, content: bytes) -> None:
        atomic.make_folders(self.path.parent, CacheBoundary(self.path.parent))
        prepare = partial(atomic.apply_cache_mode, folder=self.path.parent)
        with replacement(self.path, mode=0o644, prepare=prepare, sync=False) as file:
            file.write(content)


def _progress(status: WarmStatus) -> WarmStatus:
    """Return the status without what changes at each look: the time and the memory."""
    return status._replace(updated=status.started, memory_used=0, memory_limit=0)
