"""What a run of `warm` or `import` did, as the document that ends it and as lines for people.

The same document is the termination message of the Job's container, which Kubernetes cuts at 4096 bytes: a
cut document is no JSON, so models that are well are left out first, and then words.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import Model
from model_cache.check.report import human_bytes
from model_cache.check.types import Problem
from model_cache.errors import ModelCacheError
from model_cache.manifest import FileRecord
from model_cache.reasons import Reason

# Where Kubernetes reads a container's last words (the default of `terminationMessagePath`).
TERMINATION_LOG: Final = Path("/dev/termination-log")
TERMINATION_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class WarmedModel:
    """One model at the end of a run; `compared_with` is empty if it was there already."""

    key: str
    reason: Reason
    bytes_fetched: int = 0
    bytes: int = 0
    files: int = 0
    compared_with: str = ""


class RunStats:
    """Counts what a run does, from its threads, so that a run that fails can still say it.

    `mended`: what a repair found wrong and has made right; None until then, and for a run that only warms.
    `told` hears of each model that was fetched or taken over, once: its key, bytes and files.
    """

    mended: tuple[Problem, ...] | None = None

    def __init__(
        self, models: Sequence[Model], told: Callable[[str, int, int], None] = lambda *_: None
    ) -> None:
        self._lock, self._told = threading.Lock(), told
        self._keys = [model.key for model in models]
        self._received = dict.fromkeys(self._keys, 0)
        self._verified: dict[str, tuple[int, int, str]] = {}

    def received(self, key: str, count: int) -> None:
        """Count bytes that came over the network."""
        with self._lock:
            self._received[key] += count

    def verified(self, key: str, files: Sequence[FileRecord], compared_with: str | None) -> None:
        """Note that a model is whole."""
        count = sum(file.bytes for file in files)
        with self._lock:
            before = self._verified.get(key, (0, 0, ""))[2]
            self._verified[key] = (count, len(files), compared_with or before)
        if compared_with and not before:
            self._told(key, count, len(files))

    def models(self, reason: Reason) -> tuple[WarmedModel, ...]:
        """Return all models; those that are not whole bear the run's reason."""
        with self._lock:
            return tuple(
                WarmedModel(key, Reason.OK, self._received[key], *self._verified[key])
                if key in self._verified
                else WarmedModel(
                    key, Reason.CACHE_INCOMPLETE if reason is Reason.OK else reason, self._received[key]
                )
                for key in self._keys
            )


@dataclass(frozen=True, slots=True)
class WarmReport:
    """The end of a run. `generation` is empty if there was no valid catalog; `error` None: all is well.

    `mended`: what a repair found wrong and made right; None: it was no repair, or did not come so far.
    `written`: bytes that an import wrote; None: it was none.
    """

    reason: Reason
    generation: str
    seconds: float
    models: tuple[WarmedModel, ...]
    error: ModelCacheError | None = None
    mended: tuple[Problem, ...] | None = None
    written: int | None = None

    @property
    def bytes_fetched(self) -> int:
        """Bytes that came over the network."""
        return sum(model.bytes_fetched for model in self.models)


def to_json(report: WarmReport) -> dict[str, object]:
    """Return the document of `cache-warmer warm --format json`."""
    document: dict[str, object] = {
        "reason": str(report.reason),
        "generation": report.generation,
        "bytes_fetched": report.bytes_fetched,
        "seconds": round(report.seconds, 3),
        "models": [_model_to_json(model) for model in report.models],
    }
    if report.written is not None:
        document["bytes_written"] = report.written
    if report.mended is not None:
        document["mended"] = [_mended_to_json(problem) for problem in report.mended]
    if report.error is not None:
        document |= {"message": report.error.message, "remedy": report.error.remedy}
    return document


def termination_message(report: WarmReport, limit: int = TERMINATION_BYTES) -> bytes:
    """Return the document as JSON of less than `limit` bytes."""
    document = to_json(report)
    unwell = [model for model in report.models if model.reason is not Reason.OK]
    document.pop("mended", None)  # a repair's own report names these files
    attempts: list[dict[str, object]] = [
        document,
        {**document, "models": [_model_to_json(model) for model in unwell], "models_left_out": True},
        {**document, "models": [], "models_left_out": True},
    ]
    told = [name for name in ("message", "remedy") if name in document]
    for words in (800, 200, 40):
        cut: dict[str, object] = {name: str(document[name])[:words] for name in told}
        attempts.append({**attempts[2], **cut})
    encoded = [json.dumps(attempt, separators=(",", ":")).encode() for attempt in attempts]
    return next((one for one in encoded if len(one) < limit), encoded[-1])


def to_lines(report: WarmReport) -> list[str]:
    """Return what `warm` prints for people: a line a model, then the outcome."""
    lines = [_model_line(model) for model in report.models]
    lines += [f"mended: {problem.file}: it {problem.detail}" for problem in report.mended or ()]
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


def write_termination_message(report: WarmReport, path: Path) -> None:
    """Write it where Kubernetes looks, if that is there and can be written; else do nothing."""
    try:
        with path.open("r+b") as file:  # never made: its place is the container runtime's business
            file.truncate()
            file.write(termination_message(report))
    except OSError:
        return


def _model_line(model: WarmedModel) -> str:
    if model.reason is not Reason.OK:
        return f"{model.key}: {model.reason}"
    how = f"{human_bytes(model.bytes_fetched)} fetched" if model.bytes_fetched else "there already"
    compared = f", compared with the {model.compared_with}" if model.compared_with else ""
    return f"{model.key}: {model.files} files, {human_bytes(model.bytes)}, {how}{compared}"


def _mended_to_json(problem: Problem) -> dict[str, object]:
    return {"file": problem.file, "reason": str(problem.reason), "detail": problem.detail}


def _model_to_json(model: WarmedModel) -> dict[str, object]:
    return {
        "key": model.key,
        "reason": str(model.reason),
        "bytes_fetched": model.bytes_fetched,
        "bytes": model.bytes,
        "files": model.files,
        "compared_with": model.compared_with or None,
    }
