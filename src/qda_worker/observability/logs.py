"""One structured log on stderr: key=value for people at a terminal, one JSON object a line for everything else.

The libraries' own records go the same way, from WARNING on. Texts never get in: nobody passes them, and errors of the
libraries are logged as type and trace, because their messages may quote what they were given.

One line in the log for each call.
"""

import logging
import sys
import traceback
from typing import Final, TextIO

import structlog

from qda_worker.observability.call_record import CallRecord

Log = structlog.typing.FilteringBoundLogger


def open_log(level: int, stream: TextIO = sys.stderr) -> Log:
    """Configure this process's log and give it. `level` is one of the logging module's numbers."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if stream.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    _route_libraries(stream, level, shared, renderer)
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return log


def _route_libraries(
    stream: TextIO, level: int, shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_message_of_errors,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("qda_worker").setLevel(level)  # our own modules know what they may say at any level


def _without_message_of_errors(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Replace a record's exception by its type and where it came from."""
    found = event.pop("exc_info", None)
    error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["trace"] = "".join(traceback.format_tb(error.__traceback__))
    return event


_OURS: Final = "qda.v1."


class CallLog:
    """Writes `call.ended`; calls of other services (health, reflection, unknown ones) at level debug."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_start(self, record: CallRecord) -> None:
        """Nothing: a call is one line."""

    def on_end(self, record: CallRecord) -> None:
        """The line."""
        write = self._log.info if record.method.startswith(_OURS) else self._log.debug
        optional = {
            "reason": record.reason,
            "peer_name": record.peer_name,
            "trace_id": record.trace_id,
            "model": record.model,
        }
        write(
            "call.ended",
            method=record.method,
            status=record.status,
            caller=record.caller,
            **{name: value for name, value in optional.items() if value},
            items=record.items,
            failed_items=record.failed_items,
            cut_items=record.cut_items,
            tokens=record.tokens,
            received_bytes=record.received_bytes,
            sent_bytes=record.sent_bytes,
            seconds=round(record.seconds, 4),
            queue_seconds=round(record.queue_seconds, 4),
            tokenize_seconds=round(record.tokenize_seconds, 4),
            compute_seconds=round(record.compute_seconds, 4),
        )
