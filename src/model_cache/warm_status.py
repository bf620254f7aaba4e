"""How far a warm or an import is: a small file beside the manifests that its warmer replaces every second.

Workers export it as metrics, and `cache-check` says it where the cache is not complete yet. It promises nothing: what
is there is decided by the check alone.
"""

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from model_cache.check.report import human_bytes
from model_cache.places import Places

# A warmer that goes on writes every few seconds; clocks of two nodes may differ a little.
SILENT_SECONDS: Final = 30.0


class Phase(StrEnum):
    """What a warm is at, or an import."""

    CHECKING = "checking"
    FETCHING = "fetching"
    IMPORTING = "importing"
    PUBLISHING = "publishing"
    ENDED = "ended"


class WarmStatus(NamedTuple):
    """A warm that goes on, or the last one that did.

    Attributes:
        phase: what it is at.
        generation: of its catalog.
        holder: the pod, or `process 7 on HOST`.
        started, updated: when, in UTC.
        bytes_done, bytes_total, files_done, files_total: of what it fetches, with what an earlier run had staged.
        bytes_per_second: over the last seconds; None: not known.
        seconds_left: at that speed; None: not known.
        current: the file that it is at.
        reason: how it ended; empty before.
        message: of a failure.
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

    def goes_on(self, now: datetime) -> bool:
        """Return whether its warmer still gives signs of life."""
        return self.phase is not Phase.ENDED and (now - self.updated).total_seconds() < SILENT_SECONDS

    @property
    def share(self) -> int:
        """Percent of its bytes."""
        return min(100, 100 * self.bytes_done // self.bytes_total) if self.bytes_total else 0


def status_path(places: Places) -> Path:
    """Return where the file lies."""
    return places.own.path / "status.json"


def dump_status(status: WarmStatus) -> bytes:
    """Return it as JSON in UTF-8, with a line break at the end."""
    document = status._asdict()
    for name in ("started", "updated"):
        document[name] = document[name].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def read_status(places: Places) -> WarmStatus | None:
    """Return the last warm's; None where there is none that can be read. Never raises."""
    try:
        document: dict[str, Any] = json.loads(status_path(places).read_bytes()[:100_000])
        known = {name: document[name] for name in WarmStatus._fields if name in document}
        known["phase"] = Phase(known["phase"])
        for name in ("started", "updated"):
            known[name] = _time(known[name])
        for name in ("generation", "holder", "current", "reason", "message"):
            known[name] = str(known.get(name, ""))[:2000]
        for name in ("bytes_done", "bytes_total", "files_done", "files_total"):
            known[name] = int(known.get(name, 0))
        for name in ("bytes_per_second", "seconds_left"):
            known[name] = None if known.get(name) is None else float(known[name])
        return WarmStatus(**known)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def warm_note(places: Places, now: datetime) -> str:
    """Return a sentence about a warm that goes on, or that went silent before its end; empty if there is none."""
    found = read_status(places)
    if found is None or found.phase is Phase.ENDED:
        return ""
    done = _done(found)
    if found.goes_on(now):
        return f"a warm goes on, by {found.holder}: {found.phase}, {done}"
    silent = max(0, int((now - found.updated).total_seconds()))
    return (
        f"a warm by {found.holder} ended without a word, {silent} s ago: {found.phase}, {done}; "
        "what it fetched is kept, the next one goes on"
    )


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time.astimezone(UTC)


def _done(status: WarmStatus) -> str:
    if not status.bytes_total:
        return "nothing fetched yet"
    parts = [f"{status.share} %, {human_bytes(status.bytes_done)} of {human_bytes(status.bytes_total)}"]
    parts.append(f"{status.files_done} of {status.files_total} files")
    if status.seconds_left is not None:
        parts.append(f"{status.seconds_left:.0f} s left")
    return ", ".join(parts)
