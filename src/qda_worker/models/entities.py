"""Named entities by any spaCy pipeline, which computes in a child process.

`EntityModel` is the model that the queue sees. It splits long texts into units (`entity_windows`) and combines what was
found. `SpacyProcess` is the worker's side of the child process; `spacy_process` is the child and documents the
protocol.

Threads: the compute thread of the model is the only one that sends requests, one at a time, and blocks until the
response arrives. A watcher thread waits for the end of the process, so that a crash is noticed even when no request is
running.

Failure: if spaCy raises, the response names the exception, and only that batch fails (ModelFailed). If the process
crashes or is killed, a running request ends at the end of the pipe (ModelDied), and the watcher reports the reason to
all callbacks of `watch`; the registry then loads the model again. A computation that hangs is not interrupted: the
compute thread waits until `close` ends the process. When the worker ends, even by
SIGKILL, the child sees the end of its standard input and exits.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

from model_cache.catalog.catalog import Model
from qda_worker.errors import ModelDied, ModelFailed, ModelUnusable, TextTooLong
from qda_worker.models import spacy_process
from qda_worker.models.base import (
    BatchBudget,
    LengthUnit,
    LongText,
    ModelInfo,
    Options,
    PreparedText,
    Span,
    TextResult,
    Unit,
    Usage,
    model_info,
    require_non_empty,
    run_steps,
)
from qda_worker.models.entity_windows import Entity, Window, merge_entities, split_windows, truncated_length
from qda_worker.models.spacy_process import Passage, PassageResult, PipelineInfo, read_frame, write_frame

# Maximum length in code points of a part of a text that is read at once: a quarter of a second of de_core_news_lg.
# Reading in parts costs 10 % more in total.
PART_LENGTH: Final = 10_000
# Length in code points of a part whose tokens are only counted.
_COUNTED_LENGTH: Final = 100_000
# Tokenizing alone is more than ten times as fast as the pipeline, so such a part counts one tenth in a batch.
_COUNTED_PER_READ: Final = 10
# How long the process may take to exit after its input has ended, in seconds. Then it is killed.
_EXIT_SECONDS: Final = 5.0

_LOG: Final = logging.getLogger(__name__)


class EntityModel:
    """Named entities of texts, in text order, with offsets in code points of the text as sent.

    Lengths are code points. A text beyond spaCy's limit is cut at the last boundary before the limit (CUT) or read in
    windows (WINDOW). If the pipeline is local, long texts are read in parts of `PART_LENGTH`, each a unit, so that
    short texts of others pass in between. Each part is read with its context, so the entities are those of the whole
    text.
    """

    def __init__(self, info: ModelInfo, budget: BatchBudget, process: "SpacyProcess") -> None:
        self._info, self._budget, self._process = info, budget, process
        local = process.pipeline.local
        self._window_length = min(info.max_length, PART_LENGTH) if local else info.max_length

    @property
    def info(self) -> ModelInfo:
        """Static facts about the model."""
        return self._info

    @property
    def budget(self) -> BatchBudget:
        """Batch limits, in code points."""
        return self._budget

    @property
    def failure(self) -> str | None:
        """Why the process ended; None while it runs."""
        return self._process.failure

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Register a callback for the death of the process, see `SpacyProcess.watch`."""
        self._process.watch(on_failure)

    def prepare_steps(self, text: str, options: Options) -> Iterator[PreparedText[Passage] | None]:
        """Split a text into windows, in one step: 15 MB take a tenth of a second.

        Yields:
            The prepared text.

        Raises:
            TextEmpty: when the text has no characters.
            TextTooLong: when the text exceeds the limit under the policy ERROR.
        """
        require_non_empty(text)
        end = self._read_length(text, options.long_text)
        windows = split_windows(text, end, self._window_length)
        units = [_window_unit(text, window) for window in windows]
        yield PreparedText(
            units=(*units, *_counted_units(text, end)),
            windows=tuple(window.core for window in windows),
            length=len(text),
            used_length=end,
        )

    def prepare(self, text: str, options: Options) -> PreparedText[Passage]:
        """Take the step of `prepare_steps`."""
        return run_steps(self.prepare_steps(text, options))

    def compute(self, units: Sequence[Unit[Passage]]) -> list[PassageResult]:
        """Return what was found in each unit, with offsets inside the unit.

        Raises:
            ModelFailed: when spaCy raised for one of the units.
            ModelDied: when the process has ended.
        """
        return self._process.recognize([unit.payload for unit in units])

    def finish(
        self, text: str, prepared: PreparedText[Passage], outputs: Sequence[PassageResult]
    ) -> TextResult[tuple[Entity, ...]]:
        """Return the entities of the whole text."""
        count = len(prepared.windows)
        windows, entities = [], []
        for core, unit, result in zip(prepared.windows, prepared.units[:count], outputs[:count], strict=True):
            passage = unit.payload
            begin = core.start - passage.start
            windows.append(Window(core, Span(begin, begin + len(passage.text))))
            entities.append(
                [Entity(passage.text[start:end], label, start, end) for start, end, label in result.entities]
            )
        used = sum(result.tokens for result in outputs[:count])
        usage = Usage(
            token_count=used + sum(result.tokens for result in outputs[count:]),
            used_token_count=used,
            cut=prepared.cut,
            window_count=count if prepared.used_length > self._info.max_length else 1,
        )
        return TextResult(merge_entities(text, windows, entities), usage)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _read_length(self, text: str, policy: LongText) -> int:
        limit = self._info.max_length
        if len(text) <= limit or policy is LongText.WINDOW:
            return len(text)
        if policy is LongText.ERROR:
            raise TextTooLong(f"the text has {len(text)} characters and the model reads {limit}")
        return truncated_length(text, limit)


def load_entities(model: Model, path: Path, threads: int, budget: BatchBudget) -> EntityModel:
    """Start a process for a spaCy pipeline and wait until it has loaded.

    Args:
        model: the catalog entry.
        path: folder of the pipeline, which holds config.cfg and meta.json.
        threads: number of threads of the numeric libraries in the process.
        budget: batch limits, in code points.

    Raises:
        ModelUnusable: when the pipeline cannot be loaded.
    """
    process = SpacyProcess(path, threads)
    pipeline = process.pipeline
    limit = min(pipeline.max_length, model.serving.max_tokens or pipeline.max_length)
    info = model_info(model, max_length=limit, length_unit=LengthUnit.CHARACTERS, labels=pipeline.labels)
    return EntityModel(info, budget, process)


class SpacyProcess:
    """The child process of one pipeline, as the worker sees it.

    Attributes:
        failure: why the process ended; None while it runs.
        pipeline: facts about the loaded pipeline.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        """Start the process and wait until the pipeline has loaded.

        Args:
            folder: folder of the pipeline.
            threads: number of threads of the numeric libraries in the process.

        Raises:
            ModelUnusable: when the pipeline cannot be loaded.
        """
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        # -P keeps the folder of the program off sys.path, so that its modules cannot hide installed ones.
        self._process = subprocess.Popen(
            [sys.executable, "-P", spacy_process.__file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **limits},
        )
        self._requests, self._answers = (
            _require_pipe(self._process.stdin),
            _require_pipe(self._process.stdout),
        )
        self._closing = threading.Event()
        self._failure_lock = threading.Lock()  # guards `failure` and `_watchers`
        self._watchers: list[Callable[[str], None]] = []
        self.failure: str | None = None
        self.pipeline = self._read_pipeline_info()
        threading.Thread(target=self._wait_for_exit, name=f"watch-{self._process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id, for logs and operators."""
        return self._process.pid

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Register a callback for the unexpected end of the process.

        Args:
            on_failure: called once with the reason, from the watcher thread; at once if the process has ended already.
        """
        with self._failure_lock:
            if self.failure is None:
                self._watchers.append(on_failure)
                return
        on_failure(self.failure)

    def recognize(self, passages: Sequence[Passage]) -> list[PassageResult]:
        """Return what spaCy finds in each passage. Blocks; only one thread may call it at a time.

        Raises:
            ModelFailed: when spaCy raised for one of the passages.
            ModelDied: when the process has ended.
        """
        try:
            write_frame(self._requests, {"passages": [asdict(passage) for passage in passages]})
            answer = read_frame(self._answers)
        except OSError as error:
            raise ModelDied(self._exit_reason()) from error
        if answer is None:
            raise ModelDied(self._exit_reason())
        if "error" in answer:
            raise ModelFailed(f"spaCy raised {answer['error']}")
        return [PassageResult(**result) for result in answer["found"]]

    def close(self) -> None:
        """End the process: close its input, wait `_EXIT_SECONDS`, then kill it. A second call does nothing."""
        self._closing.set()
        try:
            self._requests.close()
        except OSError:
            _LOG.debug("the entity process had closed its input already", exc_info=True)
        try:
            self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _read_pipeline_info(self) -> PipelineInfo:
        answer = read_frame(self._answers)
        if answer is not None and "ready" in answer:
            return PipelineInfo(**answer["ready"])
        self.close()
        if answer is None:
            raise ModelUnusable(
                self._exit_reason(), "see the log for the reason; does the process have enough memory?"
            )
        raise ModelUnusable(answer["unusable"]["message"], answer["unusable"]["remedy"])

    def _wait_for_exit(self) -> None:
        self._process.wait()
        if self._closing.is_set():
            return
        with self._failure_lock:
            self.failure = self._exit_reason()
            watchers = tuple(self._watchers)
        for on_failure in watchers:
            on_failure(self.failure)

    def _exit_reason(self) -> str:
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        hint = ", perhaps for lack of memory" if code == -9 else ""
        return f"the spaCy process {self._process.pid} ended {how}{hint}"


def _require_pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ModelUnusable("its process has no pipes", "report this as a bug")
    return stream


def _window_unit(text: str, window: Window) -> Unit[Passage]:
    core, extent = window.core, window.extent
    passage = Passage(text[extent.start : extent.end], core.start - extent.start, core.end - extent.start)
    return Unit(passage, extent.length)


def _counted_units(text: str, start: int) -> Iterator[Unit[Passage]]:
    """Yield units for the part of a text that was cut off. Their tokens are only counted."""
    while start < len(text):
        end = truncated_length(text[start : start + _COUNTED_LENGTH + 1], _COUNTED_LENGTH) + start
        part = text[start:end]
        yield Unit(Passage(part, 0, len(part), counted_only=True), 1 + len(part) // _COUNTED_PER_READ)
        start = end
