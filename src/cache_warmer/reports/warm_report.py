"""The report of a `warm`, `repair` or `import`: as JSON, as lines for people, and as the termination message.

`RunStats` collects the results during the run, from its download threads, so that a run that fails can still
report what it did. `WarmReport` is the result as a value.

The termination message of the Job's container is the same document. Kubernetes truncates it at 4096 bytes, and a
truncated document is not JSON, so `termination_message` leaves out complete models first, then shortens the texts.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import Model
from model_cache.check.types import Problem
from model_cache.errors import ModelCacheError
from model_cache.explanations import explanation_hint
from model_cache.formatting import human_bytes, printable
from model_cache.json_values import to_json_value
from model_cache.manifest import FileRecord
from model_cache.reasons import Reason

# Bytes. The kubelet truncates a longer message (`MaxContainerTerminationMessageLength` in Kubernetes).
TERMINATION_BYTES: Final = 4096
# Characters of message and remedy in a termination message that is too long, tried in this order.
_SHORTENED: Final = (800, 200, 40)

# Called for each model that was fetched or taken over, once: its key, bytes and number of files.
OnVerified = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class WarmedModel:
    """One model at the end of a run. The fields are those of its JSON object.

    Attributes:
        key: the key in the catalog.
        reason: `OK` if all its files are there.
        bytes_fetched: bytes that came over the network.
        bytes: size of its files.
        files: number of its files.
        compared_with: what its content was compared with: `lock`, `hub`, `catalog` or `archive`; None if it was
            complete before the run.
    """

    key: str
    reason: Reason
    bytes_fetched: int = 0
    bytes: int = 0
    files: int = 0
    compared_with: str | None = None


@dataclass(frozen=True, slots=True)
class WarmReport:
    """The result of a run.

    Attributes:
        reason: how it ended.
        generation: the generation of the catalog or the archive; empty if that could not be read.
        seconds: how long it took.
        models: its models, in catalog order.
        error: Why it failed; None if it succeeded.
        mended: what a repair found damaged and replaced; None if it was no repair, or failed before that.
        bytes_written: bytes that an import wrote; None if it was no import.
    """

    reason: Reason
    generation: str
    seconds: float
    models: tuple[WarmedModel, ...]
    error: ModelCacheError | None = None
    mended: tuple[Problem, ...] | None = None
    bytes_written: int | None = None

    @property
    def bytes_fetched(self) -> int:
        """Bytes that came over the network."""
        return sum(model.bytes_fetched for model in self.models)


class RunStats:
    """Results of a run, collected by the main thread and the download threads; all methods are thread-safe.

    Args:
        on_verified: see `OnVerified`; called without the lock.
        clock: seconds; the run starts when this object is made.
    """

    def __init__(
        self, on_verified: OnVerified = lambda *_: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lock, self._on_verified, self._clock = threading.Lock(), on_verified, clock
        self._start = clock()
        self._seconds: float | None = None
        self._generation = ""
        self._received: dict[str, int] = {}
        self._verified: dict[str, tuple[int, int, str | None]] = {}
        self._mended: tuple[Problem, ...] | None = None

    def select(self, generation: str, models: Sequence[Model]) -> None:
        """Set the models of the run; until then it has none."""
        with self._lock:
            self._generation = generation
            self._received = dict.fromkeys((model.key for model in models), 0)

    def received(self, key: str, count: int) -> None:
        """Count bytes of a model that came over the network."""
        with self._lock:
            self._received[key] += count

    def verified(self, key: str, files: Sequence[FileRecord], compared_with: str | None) -> None:
        """Record that a model is complete; `compared_with` None: it was complete before the run."""
        count = sum(file.bytes for file in files)
        with self._lock:
            before = self._verified.get(key, (0, 0, None))[2]
            self._verified[key] = (count, len(files), compared_with or before)
        if compared_with and not before:
            self._on_verified(key, count, len(files))

    def repaired(self, problems: tuple[Problem, ...]) -> None:
        """Record what a repair found damaged and replaced."""
        with self._lock:
            self._mended = problems

    def report(self, error: ModelCacheError | None) -> WarmReport:
        """Return the results so far; the first report of a run fixes its end time.

        Args:
            error: Why the run failed; None if it succeeded. A model that is not complete gets its reason.
        """
        reason = error.reason if error is not None else Reason.OK
        missing = Reason.CACHE_INCOMPLETE if reason is Reason.OK else reason
        with self._lock:
            if self._seconds is None:
                self._seconds = self._clock() - self._start
            models = tuple(
                WarmedModel(key, Reason.OK, received, *self._verified[key])
                if key in self._verified
                else WarmedModel(key, missing, received)
                for key, received in self._received.items()
            )
            return WarmReport(reason, self._generation, self._seconds, models, error, self._mended)


def to_json(report: WarmReport) -> dict[str, object]:
    """Return the document of `cache-warmer warm --format json`."""
    document: dict[str, object] = {
        "reason": str(report.reason),
        "generation": report.generation,
        "bytes_fetched": report.bytes_fetched,
        "seconds": round(report.seconds, 3),
        "models": to_json_value(report.models),
    }
    if report.bytes_written is not None:
        document["bytes_written"] = report.bytes_written
    if report.mended is not None:  # without the remedies: the problems are solved
        document["mended"] = [
            {"file": problem.file, "reason": str(problem.reason), "detail": problem.detail}
            for problem in report.mended
        ]
    if report.error is not None:
        document |= {"message": report.error.message, "remedy": report.error.remedy}
    return document


def to_lines(report: WarmReport) -> list[str]:
    """Return what `warm` prints for people: a line for each model, then the result."""
    lines = [_model_line(model) for model in report.models]
    lines += [printable(f"mended: {problem.file}: it {problem.detail}") for problem in report.mended or ()]
    if report.reason is Reason.OK:
        total = sum(model.bytes for model in report.models)
        fetched = (
            f"{human_bytes(report.bytes_fetched)} fetched" if report.bytes_fetched else "nothing to fetch"
        )
        lines.append(
            f"OK: generation {report.generation[:12]}: {len(report.models)} models, {human_bytes(total)}, "
            f"{fetched}, {report.seconds:.1f} s"
        )
    return lines


def _model_line(model: WarmedModel) -> str:
    if model.reason is not Reason.OK:
        return f"{model.key}: {model.reason}"
    fetched = f"{human_bytes(model.bytes_fetched)} fetched" if model.bytes_fetched else "there already"
    compared = f", compared with the {model.compared_with}" if model.compared_with else ""
    return f"{model.key}: {model.files} files, {human_bytes(model.bytes)}, {fetched}{compared}"


def termination_message(report: WarmReport, limit: int = TERMINATION_BYTES) -> bytes:
    """Return the document as JSON of less than `limit` bytes."""
    document = to_json(report)
    if hint := explanation_hint(report.reason) if report.error is not None else "":
        document["help"] = hint
    document.pop("mended", None)  # the report on stdout names these files
    incomplete = [model for model in report.models if model.reason is not Reason.OK]
    without_models = {**document, "models": [], "models_left_out": True}
    attempts = [document, {**without_models, "models": to_json_value(incomplete)}, without_models]
    texts = [name for name in ("message", "remedy") if name in document]
    attempts += [
        {**without_models, **{name: str(document[name])[:length] for name in texts}} for length in _SHORTENED
    ]
    encoded = [json.dumps(attempt, separators=(",", ":")).encode() for attempt in attempts]
    return next((one for one in encoded if len(one) < limit), encoded[-1])


def write_termination_message(report: WarmReport, path: Path) -> None:
    """Write the termination message, if its file exists and can be written; else do nothing.

    The container runtime makes the file (`terminationMessagePath`). It is never created here.
    """
    try:
        with path.open("r+b") as file:
            file.truncate()
            file.write(termination_message(report))
    except OSError:
        return
