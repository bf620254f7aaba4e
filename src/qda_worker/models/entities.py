"""Named entities by any spaCy pipeline, which computes in a process of its own.

The worker's side of the process that runs spaCy (`entity_process`): starting, asking, and noticing its end.
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
    Finished,
    LengthUnit,
    LongText,
    ModelInfo,
    Options,
    Prepared,
    Span,
    Unit,
    Usage,
    describe,
    require_characters,
)
from qda_worker.models.entity_windows import Entity, Window, cut_length, join_windows, text_windows
from qda_worker.models.spacy_process import Found, Passage, Ready, read_frame, write_frame

_LOG: Final = logging.getLogger(__name__)

# How long a process may take to end by itself after its input has ended.
_END_SECONDS: Final = 5.0


class EntityProcess:
    """The child process of one pipeline. It ends when this process does, however that ends."""

    def __init__(self, folder: Path, threads: int) -> None:
        limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        # -P: the folder of the program does not come onto sys.path; nor does anything of the cache.
        self._process = subprocess.Popen(
            [sys.executable, "-P", spacy_process.__file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **limits},
        )
        self._requests, self._answers = _piped(self._process.stdin), _piped(self._process.stdout)
        self._closing = threading.Event()
        self._failed = threading.Lock()
        self._watchers: list[Callable[[str], None]] = []
        self.failure: str | None = None
        self.ready = self._first_answer()
        threading.Thread(target=self._watch, name=f"watch-{self._process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Number of the process, for logs and for operators."""
        return self._process.pid

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Has `on_failure` called once when the process dies by itself; at once if it already has."""
        with self._failed:
            if self.failure is None:
                self._watchers.append(on_failure)
                return
        on_failure(self.failure)

    def recognise(self, passages: Sequence[Passage]) -> list[Found]:
        """What spaCy found in each passage.

        Raises ModelFailed if spaCy raised over one of them, ModelDied if the process is gone.
        """
        try:
            write_frame(self._requests, {"passages": [asdict(passage) for passage in passages]})
            answer = read_frame(self._answers)
        except OSError as error:
            raise ModelDied(self._why_it_ended()) from error
        if answer is None:
            raise ModelDied(self._why_it_ended())
        if "error" in answer:
            raise ModelFailed(f"spaCy raised {answer['error']}")
        return [Found(**found) for found in answer["found"]]

    def close(self) -> None:
        """Ends the process: first by the end of its input, then by force."""
        self._closing.set()
        try:
            self._requests.close()
        except OSError:
            _LOG.debug("the entity process had closed its input already", exc_info=True)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _first_answer(self) -> Ready:
        answer = read_frame(self._answers)
        if answer is not None and "ready" in answer:
            return Ready(**answer["ready"])
        self.close()
        if answer is None:
            raise ModelUnusable(self._why_it_ended(), "look for the reason in the log; has it memory enough?")
        raise ModelUnusable(answer["unusable"]["message"], answer["unusable"]["remedy"])

    def _watch(self) -> None:
        self._process.wait()
        if self._closing.is_set():
            return
        with self._failed:
            self.failure = self._why_it_ended()
            watchers = tuple(self._watchers)
        for on_failure in watchers:
            on_failure(self.failure)

    def _why_it_ended(self) -> str:
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with status {code}"
        hint = ", perhaps for want of memory" if code == -9 else ""
        return f"the spaCy process {self._process.pid} ended {how}{hint}"


def _piped(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ModelUnusable("its process has no pipes", "report this")
    return stream


# Code points of a text that are read at once: a quarter of a second of de_core_news_lg, and a tenth more
# work.
PART_LENGTH: Final = 10_000
_COUNTED_LENGTH: Final = 100_000
# Tokenising alone is more than ten times as fast as the pipeline.
_COUNTED_PER_READ: Final = 10


class EntityModel:
    """Named entities of texts, in the order of the text, with offsets of the text as sent.

    Lengths are code points. A text beyond spaCy's limit is cut at the last border before it (CUT), or read whole
    (WINDOW). Long texts are read in parts, each a unit, so that others' short texts are answered in between; with the
    same entities as if read at once, since each part is read with its surroundings.
    """

    def __init__(self, info: ModelInfo, budget: BatchBudget, process: EntityProcess) -> None:
        self._info, self._budget, self._process = info, budget, process
        self._room = min(info.max_length, PART_LENGTH) if process.ready.local else info.max_length

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._info

    @property
    def budget(self) -> BatchBudget:
        """How many characters one batch may hold."""
        return self._budget

    @property
    def failure(self) -> str | None:
        """Why its process ended; None while it runs."""
        return self._process.failure

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Has `on_failure` called once, from another thread, when the process dies by itself."""
        self._process.watch(on_failure)

    def prepare(self, text: str, options: Options) -> Prepared[Passage]:
        """Parts the text where it is too long. Raises TextEmpty, or TextTooLong under the policy ERROR."""
        require_characters(text)
        end = self._read_length(text, options.long_text)
        windows = text_windows(text, end, self._room)
        units = [_unit(text, window) for window in windows]
        return Prepared(
            units=(*units, *_counted_units(text, end)),
            windows=tuple(window.core for window in windows),
            length=len(text),
            used_length=end,
        )

    def compute(self, units: Sequence[Unit[Passage]]) -> list[Found]:
        """What was found in each unit, with offsets inside it."""
        return self._process.recognise([unit.payload for unit in units])

    def finish(
        self, text: str, prepared: Prepared[Passage], outputs: Sequence[Found]
    ) -> Finished[tuple[Entity, ...]]:
        """The entities of the whole text."""
        count = len(prepared.windows)
        windows, entities = [], []
        for core, unit, found in zip(prepared.windows, prepared.units[:count], outputs[:count], strict=True):
            passage = unit.payload
            begin = core.start - passage.start
            windows.append(Window(core, Span(begin, begin + len(passage.text))))
            entities.append(
                [Entity(passage.text[start:end], label, start, end) for start, end, label in found.entities]
            )
        used = sum(found.tokens for found in outputs[:count])
        usage = Usage(
            token_count=used + sum(found.tokens for found in outputs[count:]),
            used_token_count=used,
            cut=prepared.cut,
            window_count=count if prepared.used_length > self._info.max_length else 1,
        )
        return Finished(join_windows(text, windows, entities), usage)

    def close(self) -> None:
        """Ends the process."""
        self._process.close()

    def _read_length(self, text: str, policy: LongText) -> int:
        room = self._info.max_length
        if len(text) <= room or policy is LongText.WINDOW:
            return len(text)
        if policy is LongText.ERROR:
            raise TextTooLong(f"the text has {len(text)} characters and the model reads {room}")
        return cut_length(text, room)


def _unit(text: str, window: Window) -> Unit[Passage]:
    core, reach = window.core, window.reach
    passage = Passage(text[reach.start : reach.end], core.start - reach.start, core.end - reach.start)
    return Unit(passage, reach.length)


def _counted_units(text: str, start: int) -> Iterator[Unit[Passage]]:
    """What was cut off, in parts whose tokens are counted and no more."""
    while start < len(text):
        end = cut_length(text[start : start + _COUNTED_LENGTH + 1], _COUNTED_LENGTH) + start
        part = text[start:end]
        yield Unit(Passage(part, 0, len(part), counted_only=True), 1 + len(part) // _COUNTED_PER_READ)
        start = end


def load_entities(model: Model, path: Path, threads: int, budget: BatchBudget) -> EntityModel:
    """Starts a process with the spaCy pipeline in the folder `path` and waits until it has loaded.

    Raises ModelUnusable.
    """
    process = EntityProcess(path, threads)
    limit = min(process.ready.max_length, model.serving.max_tokens or process.ready.max_length)
    info = describe(model, max_length=limit, length_unit=LengthUnit.CHARACTERS, labels=process.ready.labels)
    return EntityModel(info, budget, process)
