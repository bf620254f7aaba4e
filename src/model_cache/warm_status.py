"""Status of a warm or an import: a small file beside the manifests that the warmer replaces every second.

Workers export it as metrics, and `cache-check` reports it where the cache is not complete yet. It is information only:
whether a cache is complete is decided by the check alone. A file that cannot be read or parsed counts as no status.
"""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from model_cache.file_io import read_small_file
from model_cache.formatting import human_bytes, printable
from model_cache.json_values import parse_json_object, to_json_text
from model_cache.memory import MemoryUse
from model_cache.places import Places
from model_cache.reasons import Reason

# Age in seconds from which a status is stale. A running warmer writes every second; clocks of two nodes may differ.
STALE_AFTER_SECONDS: Final = 30.0
# How long a worker expects the warmer of its release to start beside it, in seconds.
START_SECONDS: Final = 120.0
# For how long a Job is expected to try again after a failure that may pass. Its longest delay is six minutes.
_RETRY_SECONDS: Final = 400.0
# Limit of the file, in bytes. Ours have less than 1,000.
MAX_STATUS_BYTES: Final = 100_000

_MAX_TEXT_CHARACTERS: Final = 2000
# Of a count of bytes or files, of a speed, and of seconds.
_MAX_COUNT: Final = 2**63 - 1


class Phase(StrEnum):
    """The current step of a warm or an import."""

    CHECKING = "checking"
    FETCHING = "fetching"
    IMPORTING = "importing"
    PUBLISHING = "publishing"
    ENDED = "ended"


class WarmStatus(NamedTuple):
    """The progress of a running warm, or of the last one.

    Attributes:
        phase: the current step of the run.
        generation: the generation of the catalog of the run.
        holder: the pod, or `process 7 on HOST`.
        started, updated: times in UTC.
        bytes_done, bytes_total, files_done, files_total: counts of what this run and earlier runs fetch.
        bytes_per_second: over the last seconds; None if not known.
        seconds_left: at that speed; None if not known.
        current: the file that is being fetched.
        reason: the reason of the end; empty while the run lasts.
        message: the message of a failure.
        memory_used, memory_limit: of the container of the run, in bytes; 0 if not known.
    """

    phase: Phase
    generation: str
    holder: str
    started: datetime
    updated: datetime
    bytes_done: int = 0
    bytes_total: int = 0
    files_done: int = 0
    files_total: int = 0
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    current: str = ""
    reason: str = ""
    message: str = ""
    memory_used: int = 0
    memory_limit: int = 0

    def is_running(self, now: datetime) -> bool:
        """Return whether the warm has not ended and its status is not stale."""
        age = (now - self.updated).total_seconds()
        return self.phase is not Phase.ENDED and age < STALE_AFTER_SECONDS

    @property
    def has_failed(self) -> bool:
        """Whether the warm ended with a failure."""
        return self.phase is Phase.ENDED and self.reason != Reason.OK

    @property
    def memory(self) -> MemoryUse | None:
        """The memory of its container; None if not known."""
        return MemoryUse(self.memory_used, self.memory_limit) if self.memory_used else None

    @property
    def percent_done(self) -> int:
        """Percentage of its bytes; 0 if the total is not known."""
        return min(100, 100 * self.bytes_done // self.bytes_total) if self.bytes_total else 0


def status_path(places: Places) -> Path:
    """Return the path of the status file."""
    return places.own.path / "status.json"


def dump_status(status: WarmStatus) -> bytes:
    """Return the status as JSON in UTF-8, with a line break at the end."""
    document = status._asdict()
    for name in ("started", "updated"):
        document[name] = document[name].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return to_json_text(document).encode() + b"\n"


def read_status(places: Places) -> WarmStatus | None:
    """Return the status of the last warm; None if there is none that can be read. Never raises."""
    return read_status_file(status_path(places))


def read_status_file(path: Path) -> WarmStatus | None:
    """Return the status in a file; None if there is none that can be read. Never raises."""
    try:
        document = parse_json_object(read_small_file(path, MAX_STATUS_BYTES))
        known = {name: document[name] for name in WarmStatus._fields if name in document}
        known["phase"] = Phase(known["phase"])
        for name in ("started", "updated"):
            known[name] = _parse_time(known[name])
        for name in ("generation", "holder", "current", "reason", "message"):
            known[name] = printable(str(known.get(name, ""))[:_MAX_TEXT_CHARACTERS])
        for name in (
            "bytes_done", "bytes_total", "files_done", "files_total", "memory_used", "memory_limit",
        ):  # fmt: skip
            known[name] = _parse_count(known.get(name, 0))
        for name in ("bytes_per_second", "seconds_left"):
            known[name] = _parse_number(known.get(name))
        return WarmStatus(**known)
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None


class WarmAdvice(NamedTuple):
    """What the warms that the volume shows mean for somebody who misses files.

    Attributes:
        sentence: what to do, or to wait for.
        is_waiting: whether a warm runs or is about to start, so that there is nothing to do yet.
        link: the words between the sentence and the command that starts another warm; empty: no command is needed.
    """

    sentence: str
    is_waiting: bool
    link: str = ""


def advise_on_missing(
    places: Places, generation: str, now: datetime, started: datetime | None = None
) -> WarmAdvice | None:
    """Return what the last warm means for missing files of a generation; None if it means nothing.

    Nothing in the advice changes while a warm runs, such as its progress: it is a part of logs and Events.

    Args:
        places: where the cache is.
        generation: the generation whose files are missing.
        now: the current time.
        started: when the worker started that waits for these files; None if none does. Its release starts a warmer at
            the same time, which may not have reached the volume yet.
    """
    status = read_status(places)
    otherwise = "; if none runs, "
    if status is not None and status.is_running(now):
        if status.generation == generation:
            return WarmAdvice(f"wait: a warm is running ({status.holder})", is_waiting=True)
        return WarmAdvice(
            f"wait: a warm of another catalog is running ({status.holder}), and the next one waits for it",
            is_waiting=True,
            link=otherwise,
        )
    is_ours = status is not None and status.generation == generation
    if status is not None and is_ours and status.has_failed:
        retried = status.reason in {str(reason) for reason in Reason if reason.retryable}
        if retried and (now - status.updated).total_seconds() < _RETRY_SECONDS:
            return WarmAdvice(
                f"wait: the last warm failed with {status.reason} ({status.holder}), and its Job tries again",
                is_waiting=True,
                link=otherwise,
            )
        return WarmAdvice(
            f"solve why the last warm failed with {status.reason} ({status.holder}; its Events have a remedy)",
            is_waiting=False,
            link=", then ",
        )
    if started is not None and (now - started).total_seconds() < START_SECONDS:
        sentence = "wait for the warmer, which starts together with this worker"
        return WarmAdvice(sentence, is_waiting=True, link=otherwise)
    return None


def describe_warm(places: Places, generation: str, now: datetime) -> str:
    """Return a sentence about the last warm, for somebody who misses files of a generation; empty if there was none."""
    status = read_status(places)
    if status is None:
        return ""
    if status.phase is Phase.ENDED:
        return _describe_end(status, generation)
    progress = _describe_progress(status)
    if status.is_running(now):
        return f"a warm is running ({status.holder}): {status.phase}, {progress}"
    age = max(0, int((now - status.updated).total_seconds()))
    return (
        f"a warm was interrupted ({status.holder}, last status {age} s ago): {status.phase}, {progress}; "
        f"what it fetched is kept, and the next warm continues from there{memory_hint(status)}"
    )


def memory_hint(status: WarmStatus) -> str:
    """Return the end of a sentence about a warm that was interrupted: whether it lacked memory."""
    if status.memory is None or not status.memory.is_near_limit:
        return ""
    return (
        f". It used {status.memory} of memory and was most likely killed for lack of it: increase "
        "cacheWarmer.resources.limits.memory"
    )


def _describe_end(status: WarmStatus, generation: str) -> str:
    time = status.updated.strftime("%Y-%m-%d %H:%M:%S UTC")
    which = "the last warm" if status.generation == generation else "the last warm, of another catalog,"
    if status.has_failed:
        return f"{which} failed ({status.holder}, {time}): {status.reason}: {status.message}"
    if status.generation == generation:
        return f"{which} was complete ({status.holder}, {time}): files were deleted or changed after it"
    return ""


def _parse_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time.astimezone(UTC)


def _parse_count(value: object) -> int:
    """Return a count as it can be: the file may hold any number."""
    if not isinstance(value, int | float):
        raise TypeError(f"{type(value).__name__} where a number should be")
    return min(max(0, int(value)), _MAX_COUNT)


def _parse_number(value: object) -> float | None:
    """Return a finite number from 0; None for anything else."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= _MAX_COUNT else None


def _describe_progress(status: WarmStatus) -> str:
    if not status.bytes_total:
        return "nothing fetched yet"
    parts = [
        f"{status.percent_done} %, {human_bytes(status.bytes_done)} of {human_bytes(status.bytes_total)}",
        f"{status.files_done} of {status.files_total} files",
    ]
    if status.seconds_left is not None:
        parts.append(f"{status.seconds_left:.0f} s left")
    return ", ".join(parts)
