"""The log of requests to the fake hub and of the bytes that it sent, for assertions and for people."""

import dataclasses
import json
import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

Host = Literal["hub", "storage"]


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request.

    `host` is the listener that took it, `path` is decoded and without its query, `range` the header's text,
    `authorized` whether an Authorization header came with it (its value is never kept), `bytes_sent` what
    went out of the body, `fault` the kind of the fault that was applied.
    """

    host: Host
    method: str
    path: str
    query: str
    range: str | None
    authorized: bool
    user_agent: str | None
    status: int | None
    bytes_sent: int
    fault: str | None


class RequestLog:
    """The requests in the order of their arrival. Safe for threads.

    A record is there before the first byte of its answer leaves, so that a client which has its answer
    finds it.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._records: dict[int, RequestRecord] = {}
        self._next = 0
        self._file = file

    def begin(self, record: RequestRecord) -> int:
        """Add a record; the number returned is for `sent` and `end`, which take None as no record."""
        with self._lock:
            self._next += 1
            self._records[self._next] = record
            return self._next

    def sent(self, number: int | None, count: int) -> None:
        """Add to the bytes sent (a negative number takes back what was not sent)."""
        with self._lock:
            if number is not None and number in self._records:  # It is not if the log was cleared meanwhile.
                record = self._records[number]
                self._records[number] = dataclasses.replace(record, bytes_sent=record.bytes_sent + count)

    def end(self, number: int | None) -> None:
        """Write the line of a finished response to the log file, if there is one."""
        with self._lock:
            record = self._records.get(number) if number is not None else None
            if self._file is not None and record is not None:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(dataclasses.asdict(record)) + "\n")

    def requests(
        self, path: str = "*", method: str | None = None, host: Host | None = None
    ) -> tuple[RequestRecord, ...]:
        """Return the requests whose path matches the shell pattern, optionally of one method or host."""
        with self._lock:
            records = tuple(self._records.values())
        return tuple(
            record
            for record in records
            if fnmatchcase(record.path, path)
            and method in (None, record.method)
            and host in (None, record.host)
        )

    def bytes_sent(self, path: str = "*") -> int:
        """Return the number of body bytes sent for the requests whose path matches."""
        return sum(record.bytes_sent for record in self.requests(path))

    def clear(self) -> None:
        with self._lock:
            self._records.clear()
