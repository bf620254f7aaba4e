"""Who has how much waiting for one model, and how long a caller has to wait for more."""

from __future__ import annotations

from typing import Any

from qda_worker.scheduling.work import Job, Lane


class Backlog:
    """Texts and expected seconds by lane and caller, bytes by caller. Holds no lock: its owner does."""

    def __init__(self) -> None:
        self._texts: dict[tuple[Lane, str], int] = {}
        self._seconds: dict[tuple[Lane, str], float] = {}
        self._bytes: dict[str, int] = {}

    @property
    def seconds(self) -> float:
        """What all that waits is expected to take."""
        return sum(self._seconds.values())

    def add(self, job: Job[Any], texts: int) -> None:
        """So many texts of a job wait from now on; fewer, if negative."""
        key = (job.lane, job.caller)
        count = self._texts.get(key, 0) + texts
        if count > 0:
            self._texts[key] = count
            self._seconds[key] = max(0.0, self._seconds.get(key, 0.0) + texts * job.seconds_each)
        else:
            self._texts.pop(key, None)
            self._seconds.pop(key, None)

    def hold(self, caller: str, size: int) -> None:
        """So many bytes of a caller's texts are held from now on; fewer, if negative."""
        held = self._bytes.get(caller, 0) + size
        if held > 0:
            self._bytes[caller] = held
        else:
            self._bytes.pop(caller, None)

    def bytes_of(self, caller: str) -> int:
        """How many bytes of a caller's texts are held, in both lanes."""
        return self._bytes.get(caller, 0)

    def texts_of(self, caller: str) -> int:
        """How many texts of a caller wait, in both lanes."""
        return sum(self._texts.get((lane, caller), 0) for lane in Lane)

    def seconds_until_done(self, job: Job[Any], seconds: float) -> float:
        """When work of so many seconds of this job's lane and caller would be done, if nothing else came any more.

        Callers share the time: until a caller's work is done, as much of each other's is, if it has so much. What the
        other lane does meanwhile is left out: the result is rather too small.
        """
        own = self._seconds.get((job.lane, job.caller), 0.0) + seconds
        return own + sum(
            min(others, own)
            for (lane, caller), others in self._seconds.items()
            if lane is job.lane and caller != job.caller
        )
