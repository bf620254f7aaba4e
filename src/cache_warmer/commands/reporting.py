"""Report the start and the end of a command to the cluster: as Events and as the container's termination message.

Outside a cluster both do nothing: `EventRecorder` has no objects, and the termination log does not exist. Nothing is
printed here, and every error is passed on to the caller, which prints it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cache_warmer.errors import Interrupted
from cache_warmer.kubernetes import client
from cache_warmer.kubernetes.events import WARMING, EventRecorder, involved_objects
from cache_warmer.reports.warm_report import WarmReport, write_termination_message
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason

# The termination message until the end.
_KILLED: Final = ModelCacheError(
    "the program ended without a shutdown",
    "see the last state of the container; if it is OOMKilled, increase cacheWarmer.resources.limits.memory",
    reason=Reason.INTERRUPTED,
)


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def event_recorder(environ: Mapping[str, str]) -> EventRecorder:
    """Return the recorder of Events for the Job and the Deployment that the environment names."""
    return EventRecorder(involved_objects(environ), client.connect, utc_now)


@contextmanager
def report_to_cluster(
    events: EventRecorder,
    termination_log: Path,
    report: Callable[[ModelCacheError | None], WarmReport],
    start: str | None = WARMING,
) -> Iterator[None]:
    """Report that a command started, and how the block ended: success, failure, bug or signal.

    Args:
        events: records the Events.
        termination_log: where Kubernetes reads the termination message.
        report: returns the report, given the failure or None; called once, at the end.
        start: Reason of the first Event; None: no such Event.
    """

    def report_end(error: ModelCacheError | None) -> None:
        result = report(error)
        write_termination_message(result, termination_log)
        events.record_end(result)

    # Replaced at the end; it stays if the kernel kills the process.
    write_termination_message(WarmReport(_KILLED.reason, "", 0.0, (), _KILLED), termination_log)
    try:
        if start is not None:
            events.record_start(start)
        yield
    except ModelCacheError as error:
        report_end(error)
        raise
    except Exception:
        report_end(
            ModelCacheError(
                "a bug, see the log", "report it with the trace in the log", reason=Reason.INTERNAL
            )
        )
        raise
    except BaseException:  # a signal
        report_end(Interrupted())
        raise
    report_end(None)
