"""How the work on a text ends: its outcome, and the error of a model as one of the worker's errors.

Messages of foreign exceptions may contain text of the user, so only their type is logged and reported. Both the
tokenizer pool and the compute thread use these functions.
"""

import logging
import traceback
from typing import Final

from qda_worker.errors import ModelFailed, WorkerError
from qda_worker.models.base import Output, Payload, TextModel
from qda_worker.scheduling.jobs import Failure, Outcome, Result, Success, TextItem
from qda_worker.scheduling.state import QueueState

_LOG: Final = logging.getLogger(__name__)


def finish_text(
    model: TextModel[Payload, Output, Result],
    state: QueueState[Payload, Output, Result],
    item: TextItem[Payload, Output, Result],
) -> None:
    """Combine the outputs of a text that is computed and counted, and record its outcome."""
    outputs = [item.outputs[index] for index in range(len(item.prepared.units))]
    outcome: Outcome[Result]
    try:
        finished = model.finish(item.text, item.prepared, outputs)
        outcome = Success(finished.answer, finished.usage, item.timings)
    except Exception as error:  # noqa: BLE001  # the failure of one text is the outcome of that text
        outcome = Failure(to_worker_error(error, model.info.key), item.timings)
    state.record_outcome(item.job, item.number, outcome)


def to_worker_error(error: Exception, key: str) -> WorkerError:
    """Return the error that callers of a model see for an exception that it raised.

    The message of a foreign exception may contain text of the user, so it is neither returned nor logged.

    Args:
        error: a WorkerError, which is returned as it is, or a foreign exception, which becomes ModelFailed.
        key: key of the model, for the log.
    """
    if isinstance(error, WorkerError):
        return error
    _LOG.error("model %s raised %s for a text", key, type(error).__name__)
    log_traceback(error)
    return ModelFailed(f"the model raised {type(error).__name__} for this text")


def log_traceback(error: BaseException) -> None:
    """Log the traceback of an exception at debug level, without its message."""
    if _LOG.isEnabledFor(logging.DEBUG):
        _LOG.debug("%s at\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
