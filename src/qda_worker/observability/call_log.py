"""One line in the log for each call."""

from __future__ import annotations

from qda_worker.observability.call_record import CallRecord
from qda_worker.observability.logs import Log

_OURS = "qda.v1."


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
