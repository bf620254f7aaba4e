"""Entities and syntax by any spaCy pipeline, which computes in a child process.

`SpacyModel` is the model that the queue sees. It splits long texts into units (`entity_windows`) and combines what was
found: entities (`entity_windows`), or with `SyntaxOptions` the tokens (`syntax`). Only the components that the
requested layers depend on are run (`spacy_components`). `spacy_supervisor` is the worker's side of the child process,
with everything about its threads and its failures; `spacy_process` is the child, and `spacy_protocol` what both speak.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from model_cache.catalog.catalog import Model, Task
from qda_worker.errors import ModelUnusable, TextTooLong
from qda_worker.models.base import (
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
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.models.entity_windows import Entity, Window, merge_entities, split_windows, truncated_length
from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.models.spacy_protocol import Passage, PassageResult
from qda_worker.models.spacy_supervisor import SpacyProcess
from qda_worker.models.syntax import SyntaxOptions, TokenTable, join_windows
from qda_worker.sentences.span import Span

# Maximum length in code points of a part of a text that is read at once: a quarter of a second of de_core_news_lg.
# Reading in parts costs 10 % more in total.
PART_LENGTH: Final = 10_000
# The same for syntax. Longer, because it is mostly asked for whole documents, and the contexts of a part cost less.
SYNTAX_PART_LENGTH: Final = 16_000
# Length in code points of a part whose tokens are only counted.
_COUNTED_LENGTH: Final = 100_000
# Tokenizing alone is more than ten times as fast as the pipeline, so such a part counts one tenth in a batch.
_COUNTED_PER_READ: Final = 10


class SpacyModel:
    """Named entities or tokens of texts, in text order, with offsets in code points of the text as sent.

    Lengths are code points. A text beyond spaCy's limit is cut at the last boundary before the limit (CUT) or read in
    windows (WINDOW). If the pipeline is local, long texts are read in parts of `PART_LENGTH`, each a unit, so that
    short texts of others pass in between. Each part is read with its context, so the results are those of the whole
    text.
    """

    def __init__(self, info: ModelInfo, budget: BatchBudget, process: SpacyProcess) -> None:
        self._info, self._budget, self._process = info, budget, process
        self._local = process.pipeline.local

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
        layers = options.returned_layers(self._info) if isinstance(options, SyntaxOptions) else None
        windows = split_windows(text, end, self._window_length(syntax=layers is not None))
        units = [_window_unit(text, window, layers) for window in windows]
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
        return self._process.analyze([unit.payload for unit in units])

    def finish(
        self, text: str, prepared: PreparedText[Passage], outputs: Sequence[PassageResult]
    ) -> TextResult[Any]:
        """Return the entities of the whole text, a tuple of `Entity`, or with `SyntaxOptions` its `TokenTable`."""
        count = len(prepared.windows)
        passages = [unit.payload for unit in prepared.units[:count]]
        windows = [_window(core, passage) for core, passage in zip(prepared.windows, passages, strict=True)]
        answer: tuple[Entity, ...] | TokenTable
        if passages[0].table:
            answer = _join_tokens(windows, passages[0].layers, outputs[:count])
            used = answer.table.shape[1]
        else:
            answer = _merge_entities(text, windows, passages, outputs[:count])
            used = sum(result.tokens for result in outputs[:count])
        usage = Usage(
            token_count=used + sum(result.tokens for result in outputs[count:]),
            used_token_count=used,
            cut=prepared.cut,
            window_count=count if prepared.used_length > self._info.max_length else 1,
        )
        return TextResult(answer, usage)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _window_length(self, *, syntax: bool) -> int:
        """Return the length of what is read at once, in code points."""
        limit = self._info.max_length
        return min(limit, SYNTAX_PART_LENGTH if syntax else PART_LENGTH) if self._local else limit

    def _read_length(self, text: str, policy: LongText) -> int:
        limit = self._info.max_length
        if len(text) <= limit or policy is LongText.WINDOW:
            return len(text)
        if policy is LongText.ERROR:
            raise TextTooLong(f"the text has {len(text)} characters and the model reads {limit}")
        return truncated_length(text, limit)


def load_spacy(model: Model, path: Path, threads: int, budget: BatchBudget) -> SpacyModel:
    """Start a process for a spaCy pipeline and wait until it has loaded.

    Args:
        model: the catalog entry.
        path: folder of the pipeline, which holds config.cfg and meta.json.
        threads: number of threads of the numeric libraries in the process.
        budget: batch limits, in code points.

    Raises:
        ModelUnusable: when the pipeline cannot be loaded, or has no component for the task.
    """
    process = SpacyProcess(path, threads)
    pipeline = process.pipeline
    if model.task is Task.ENTITIES and SyntaxLayer.ENTITIES not in pipeline.layers:
        process.close()
        raise ModelUnusable(
            "the pipeline has no component that finds named entities",
            "give the task syntax in the catalog, or another package",
        )
    limit = min(pipeline.max_length, model.serving.max_tokens or pipeline.max_length)
    info = model_info(
        model,
        max_length=limit,
        length_unit=LengthUnit.CHARACTERS,
        labels=pipeline.labels,
        components=pipeline.components,
        syntax_layers={SyntaxLayer(layer): tuple(names) for layer, names in pipeline.layers.items()},
    )
    return SpacyModel(info, budget, process)


def _window(core: Span, passage: Passage) -> Window:
    begin = core.start - passage.start
    return Window(core, Span(begin, begin + len(passage.text)))


def _merge_entities(
    text: str,
    windows: Sequence[Window],
    passages: Sequence[Passage],
    results: Sequence[PassageResult],
) -> tuple[Entity, ...]:
    entities = [
        [Entity(passage.text[start:end], label, start, end) for start, end, label in result.entities]
        for passage, result in zip(passages, results, strict=True)
    ]
    return merge_entities(text, windows, entities)


def _join_tokens(
    windows: Sequence[Window], layers: Sequence[str], results: Sequence[PassageResult]
) -> TokenTable:
    tables = [result.table for result in results if result.table is not None]
    found = frozenset(SyntaxLayer(layer) for layer in layers)
    if len(tables) == 1:
        return TokenTable(tables[0], results[0].strings, found)
    table, strings = join_windows(windows, tables, [result.strings for result in results])
    return TokenTable(table, strings, found)


def _window_unit(text: str, window: Window, layers: Sequence[SyntaxLayer] | None) -> Unit[Passage]:
    """Return the unit of a window: its tokens with these layers, or with None its entities."""
    core, extent = window.core, window.extent
    read = text[extent.start : extent.end]
    start, end = core.start - extent.start, core.end - extent.start
    if layers is None:
        return Unit(Passage(read, start, end), extent.length)
    return Unit(Passage(read, start, end, layers, table=True), extent.length)


def _counted_units(text: str, start: int) -> Iterator[Unit[Passage]]:
    """Yield units for the part of a text that was cut off. Their tokens are only counted."""
    while start < len(text):
        end = truncated_length(text[start : start + _COUNTED_LENGTH + 1], _COUNTED_LENGTH) + start
        part = text[start:end]
        yield Unit(Passage(part, 0, len(part), layers=()), 1 + len(part) // _COUNTED_PER_READ)
        start = end
