"""Named entities by any spaCy pipeline, which computes in a child process.

`EntityModel` is the model that the queue sees. It splits long texts into units (`entity_windows`) and combines what was
found. `spacy_supervisor` is the worker's side of the child process, with everything about its threads and its failures;
`spacy_process` is the child and documents the protocol.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import Model
from qda_worker.errors import TextTooLong
from qda_worker.models.base import (
    BatchBudget,
    LengthUnit,
    LongText,
    ModelInfo,
    Options,
    PreparedText,
    TextResult,
    Unit,
    Usage,
    model_info,
    require_non_empty,
    run_steps,
)
from qda_worker.models.entity_windows import Entity, Window, merge_entities, split_windows, truncated_length
from qda_worker.models.spacy_process import Passage, PassageResult
from qda_worker.models.spacy_supervisor import SpacyProcess
from qda_worker.sentences.span import Span

# Maximum length in code points of a part of a text that is read at once: a quarter of a second of de_core_news_lg.
# Reading in parts costs 10 % more in total.
PART_LENGTH: Final = 10_000
# Length in code points of a part whose tokens are only counted.
_COUNTED_LENGTH: Final = 100_000
# Tokenizing alone is more than ten times as fast as the pipeline, so such a part counts one tenth in a batch.
_COUNTED_PER_READ: Final = 10


class EntityModel:
    """Named entities of texts, in text order, with offsets in code points of the text as sent.

    Lengths are code points. A text beyond spaCy's limit is cut at the last boundary before the limit (CUT) or read in
    windows (WINDOW). If the pipeline is local, long texts are read in parts of `PART_LENGTH`, each a unit, so that
    short texts of others pass in between. Each part is read with its context, so the entities are those of the whole
    text.
    """

    def __init__(self, info: ModelInfo, budget: BatchBudget, process: SpacyProcess) -> None:
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
        """Why there is no process and will not be another one; None otherwise."""
        return self._process.failure

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Register a callback for the end of the last process, see `SpacyProcess.watch`."""
        self._process.watch(on_failure)

    @property
    def away_seconds(self) -> float:
        """For how long there has been no process that can compute; 0 while there is one."""
        return self._process.away_seconds

    def abort(self, seconds: float) -> bool:
        """Kill the process if it has been computing for at least so many seconds. Always True: it can be done."""
        self._process.abort(seconds)
        return True

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
            BatchLost: when the process ended during the computation.
            ModelDied: when there will not be a process again.
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
