"""Tells the cluster how a command went, however it ended: Events and the container's last words.

Nothing is printed here, and every error goes on to whoever prints it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cache_warmer.errors import Interrupted
from cache_warmer.kubernetes.events import WARMING, EventRecorder
from cache_warmer.reports.warm_report import WarmReport, write_termination_message
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason


@contextmanager
def told(
    announcer: EventRecorder,
    last_words: Path,
    report: Callable[[ModelCacheError | None], WarmReport],
    start: str = WARMING,
) -> Iterator[None]:
    """Tell the start, and how the block ended.

    Args:
        announcer: writes Events.
        last_words: where Kubernetes reads them.
        report: what was done, given the failure or None; called once, at the end.
        start: the first Event's reason.
    """

    def tell(error: ModelCacheError | None) -> None:
        ended = report(error)
        write_termination_message(ended, last_words)
        announcer.ended(ended)

    try:
        announcer.started(start)
        yield
    except ModelCacheError as error:
        tell(error)
        raise
    except Exception:
        tell(
            ModelCacheError(
                "a bug, see the log", "report it with the trace in the log", reason=Reason.INTERNAL
            )
        )
        raise
    except BaseException:  # a signal
        tell(Interrupted())
        raise
    tell(None)
