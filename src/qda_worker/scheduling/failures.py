"""A model's exceptions as callers may see them: never with a foreign message, which may hold a text."""

from __future__ import annotations

import logging
import traceback

from qda_worker.errors import ModelFailed, WorkerError

_LOG = logging.getLogger(__name__)


def told(error: Exception, key: str) -> WorkerError:
    """What the callers of the model `key` are told about an error."""
    if isinstance(error, WorkerError):
        return error
    _LOG.error("model %s raised %s over a text", key, type(error).__name__)
    trace(error)
    return ModelFailed(f"the model raised {type(error).__name__} over this text")


def trace(error: BaseException) -> None:
    """Logs where an error came from, without its message."""
    if _LOG.isEnabledFor(logging.DEBUG):
        _LOG.debug("%s at\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
