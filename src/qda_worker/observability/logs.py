"""The structured log on stderr: key=value on a terminal, otherwise one JSON object a line.

`configure_logging` sets up structlog for the server's own events. Records of the standard logging module, from the
models and from libraries, go through the same renderer; those of libraries from WARNING on. `CallLog` writes one
line for each call.

Texts must never appear in the log. Our events contain no texts, and an exception that comes through the standard
logging module is reduced to its type and its trace, because its message may contain the input.

Values may quote names of files that others have written, and messages of libraries the addresses that they use.
Control characters are therefore shown as escapes, and addresses without their passwords.
"""

import logging
import sys
import traceback
from typing import TextIO

import structlog

from model_cache.formatting import printable_lines
from model_cache.urls import without_passwords
from qda_worker.cpu import CpuBudget
from qda_worker.observability.call_record import CallRecord

Log = structlog.typing.FilteringBoundLogger


def configure_logging(level: int, stream: TextIO = sys.stderr) -> Log:
    """Configure the logging of this process and return its log.

    Args:
        level: a level of the logging module.
        stream: where the log goes; a terminal gets key=value lines.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if stream.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    _configure_standard_logging(stream, level, shared, renderer)
    log: Log = structlog.wrap_logger(
        structlog.WriteLogger(
            stream
        ),  # one write a line: PrintLogger's newline could follow another thread's line
        processors=[*shared, _clean_values, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return log


def _configure_standard_logging(
    stream: TextIO, level: int, shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _drop_error_message,
                _clean_values,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("qda_worker").setLevel(level)  # the modules of this package log no texts at any level


def _drop_error_message(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace the exception of a record by its type and its trace."""
    exc_info = event.pop("exc_info", None)
    error = (
        sys.exc_info()[1] if exc_info is True else exc_info[1] if isinstance(exc_info, tuple) else exc_info
    )
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["trace"] = "".join(traceback.format_tb(error.__traceback__))
    return event


def _clean_values(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape control characters in the values of a record, and remove passwords of addresses."""
    return {name: _clean(value) for name, value in event.items()}


def _clean(value: object) -> object:
    if isinstance(value, str):
        return printable_lines(without_passwords(value))
    return [_clean(each) for each in value] if isinstance(value, list | tuple) else value


def log_cpu_budget(log: Log, cpu: CpuBudget) -> None:
    """Log the number of compute threads and its source, and a warning if the kernel will throttle them."""
    log.info(
        "threads.set",
        threads=cpu.threads,
        source=cpu.source,
        affinity=cpu.affinity,
        cpu_quota=cpu.quota,
        cpu_request=cpu.request,
    )
    if cpu.quota is not None and cpu.exceeds_quota:
        log.warning(
            "threads.throttled",
            threads=cpu.threads,
            cpu_quota=cpu.quota,
            detail=f"the CPU limit of {cpu.quota:g} is below the number of compute threads, {cpu.threads}: whenever "
            "all of them compute, the kernel stops this process for a part of each period",
            remedy="increase the CPU limit, or remove it; in Kubernetes the default of a LimitRange may have set it",
        )


class CallLog:
    """Writes `call.ended` for each call.

    Calls of `qda.v1` are logged at level info; health, reflection and unknown methods at level debug.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_start(self, record: CallRecord) -> None:
        """Do nothing: a call is one line, written at its end."""

    def on_end(self, record: CallRecord) -> None:
        """Write the line."""
        write = self._log.info if record.is_qda_method else self._log.debug
        optional = {
            "reason": record.reason,
            "principal": record.principal,
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
            cached_items=record.cached_items,
            tokens=record.tokens,
            received_bytes=record.received_bytes,
            sent_bytes=record.sent_bytes,
            seconds=round(record.seconds, 4),
            queue_seconds=round(record.queue_seconds, 4),
            tokenize_seconds=round(record.tokenize_seconds, 4),
            compute_seconds=round(record.compute_seconds, 4),
        )
