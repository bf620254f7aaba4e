"""Named entities by any spaCy pipeline, which computes in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from model_cache.catalog import Model
from qda_worker.errors import TextTooLong
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
from qda_worker.models.entity_child import EntityProcess
from qda_worker.models.entity_process import Found, Passage
from qda_worker.models.entity_windows import Entity, cut_length, join_windows, text_windows


class EntityModel:
    """Named entities of texts, in the order of the text, with offsets of the text as sent.

    Lengths are code points. A text beyond spaCy's limit is cut at the last border before it (CUT), or parted at
    paragraphs, lines, sentences or words into overlapping windows whose entities are joined (WINDOW).
    """

    def __init__(self, info: ModelInfo, budget: BatchBudget, process: EntityProcess) -> None:
        self._info, self._budget, self._process = info, budget, process

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
        windows = self._windows(text, options.long_text)
        end = windows[-1].end
        borders = [*(window.start for window in windows[1:]), end]
        passages = [
            Passage(text[window.start : window.end], own=border - window.start)
            for window, border in zip(windows, borders, strict=True)
        ]
        passages[-1] = replace(passages[-1], rest=text[end:])
        units = tuple(Unit(passage, len(passage.text)) for passage in passages)
        return Prepared(units, windows, length=len(text), used_length=end)

    def compute(self, units: Sequence[Unit[Passage]]) -> list[Found]:
        """What was found in each unit, with offsets inside it."""
        return self._process.recognise([unit.payload for unit in units])

    def finish(
        self, text: str, prepared: Prepared[Passage], outputs: Sequence[Found]
    ) -> Finished[tuple[Entity, ...]]:
        """The entities of the whole text."""
        entities = [
            [Entity(unit.payload.text[start:end], label, start, end) for start, end, label in found.entities]
            for unit, found in zip(prepared.units, outputs, strict=True)
        ]
        used = sum(found.tokens for found in outputs)
        usage = Usage(
            token_count=used + sum(found.rest_tokens for found in outputs),
            used_token_count=used,
            cut=prepared.cut,
            window_count=len(prepared.windows),
        )
        return Finished(join_windows(text, prepared.windows, entities), usage)

    def close(self) -> None:
        """Ends the process."""
        self._process.close()

    def _windows(self, text: str, policy: LongText) -> tuple[Span, ...]:
        room = self._info.max_length
        if len(text) <= room:
            return (Span(0, len(text)),)
        if policy is LongText.ERROR:
            raise TextTooLong(f"the text has {len(text)} characters and the model reads {room}")
        if policy is LongText.WINDOW:
            return text_windows(text, room)
        return (Span(0, cut_length(text, room)),)


def load_entities(model: Model, path: Path, threads: int, budget: BatchBudget) -> EntityModel:
    """Starts a process with the spaCy pipeline in the folder `path` and waits until it has loaded.

    Raises ModelUnusable.
    """
    process = EntityProcess(path, threads)
    limit = min(process.ready.max_length, model.serving.max_tokens or process.ready.max_length)
    info = describe(model, max_length=limit, length_unit=LengthUnit.CHARACTERS, labels=process.ready.labels)
    return EntityModel(info, budget, process)
