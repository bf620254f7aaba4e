"""Record of the worker's run in a folder that outlives its container, so that the next container can report a kill.

A process that the kernel kills (out of memory) reports nothing itself. The worker therefore writes its state and memory
every few seconds into `run.json`, below the folder that `QDA_RUN_DIR` names. The chart sets it to a folder in the
`emptyDir` of the pod, which survives a restart of the container. A record that says neither STOPPING nor ENDED is that
of a run which was killed or crashed; it stays in the record of the runs after it.

The worker writes the record (`qda_worker.server.run_recorder`); `cache-check` and the worker read it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from model_cache.cli.options import RUN_DIRECTORY
from model_cache.file_io import read_small_file
from model_cache.formatting import printable
from model_cache.json_values import parse_json_object, to_json_line
from model_cache.memory import MemoryUse

# Size of the file in bytes: it is overwritten in place, padded with spaces, so that a reader never finds a part of it.
RECORD_BYTES: Final = 2048

_MAX_ACTIVITY: Final = 200
_MAX_NUMBER: Final = 2**53
_REMEDY: Final = "increase worker.resources.limits.memory"


class RunState(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class Kill(NamedTuple):
    """A run that ended without a shutdown.

    Attributes:
        time: about when, in seconds since 1970: the time of its last record.
        activity: what it did, as `loading german-ner`.
        memory: its memory at that time; None if not known.
        total: how many runs of this pod ended so, with this one.
    """

    time: float
    activity: str
    memory: MemoryUse | None
    total: int

    def __str__(self) -> str:
        """Return one sentence with the remedy."""
        when = datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        times = f" ({self.total} times in this pod)" if self.total > 1 else ""
        if self.memory is not None and self.memory.is_near_limit:
            return (
                f"the container was killed at about {when} while {self.activity}{times}, most likely for lack of "
                f"memory: it used {self.memory}. Remedy: {_REMEDY}"
            )
        used = f" It used {self.memory} of memory." if self.memory is not None else ""
        return (
            f"the container ended without a shutdown at about {when} while {self.activity}{times}.{used} Remedy: see "
            f"the last state in `kubectl describe pod`; if that is OOMKilled, {_REMEDY}"
        )


class RunRecord(NamedTuple):
    """The state of a run at the time of its last record.

    Attributes:
        state: how far it is.
        started, updated: in seconds since 1970.
        activity: what it does.
        memory: the memory of its container; None if not known.
        kill: the last former run of this pod that ended without a shutdown; None if none did.
    """

    state: RunState
    started: float
    updated: float
    activity: str
    memory: MemoryUse | None = None
    kill: Kill | None = None

    def kill_before_next(self) -> Kill | None:
        """Return the last kill as the next run of the pod sees it."""
        if self.state is not RunState.RUNNING:
            return self.kill
        former = self.kill.total if self.kill else 0
        return Kill(self.updated, self.activity, self.memory, former + 1)


def run_record_path(environ: Mapping[str, str]) -> Path | None:
    """Return the path of the record; None if none is to be written."""
    folder = environ.get(RUN_DIRECTORY, "")
    return Path(folder) / "run.json" if folder else None


def dump_run_record(record: RunRecord) -> bytes:
    """Return the record as one line of JSON with `RECORD_BYTES` bytes."""
    short = record._replace(activity=record.activity[:_MAX_ACTIVITY])
    return to_json_line(short).encode().ljust(RECORD_BYTES - 1) + b"\n"


def read_run_record(path: Path) -> RunRecord | None:
    """Return the record; None if there is none that can be read. Never raises."""
    try:
        document = parse_json_object(read_small_file(path, 2 * RECORD_BYTES))
        kill = document.get("kill")
        return RunRecord(
            state=RunState(document["state"]),
            started=_number(document["started"]),
            updated=_number(document["updated"]),
            activity=_text(document["activity"]),
            memory=_memory(document.get("memory")),
            kill=None
            if kill is None
            else Kill(
                _number(kill["time"]),
                _text(kill["activity"]),
                _memory(kill.get("memory")),
                int(_number(kill["total"])),
            ),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def _memory(value: Any) -> MemoryUse | None:  # Any: JSON has no types
    return None if value is None else MemoryUse(int(_number(value["used"])), int(_number(value["limit"])))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_NUMBER:
        raise ValueError("not a number from 0")
    return value


def _text(value: object) -> str:
    return printable(str(value)[:_MAX_ACTIVITY])
