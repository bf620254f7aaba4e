"""A model whose answers are a function of the text, for tests of the queue: no weights, no waiting."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from model_cache.catalog.catalog import HuggingFaceSource, Model, Task
from qda_worker.errors import ModelDied
from qda_worker.models.base import (
    BatchBudget,
    Finished,
    LongText,
    ModelInfo,
    Options,
    Prepared,
    Unit,
    describe,
    require_characters,
    usage_in_tokens,
)
from qda_worker.models.tokenization import choose_spans

ROOM: Final = 40


class EchoModel:
    """Answers a text with itself in upper case; a text of more than 40 characters in windows.

    A text with "!" makes its whole batch raise; "†" kills the model; "?" makes `prepare` raise, "#" `finish`.
    `gate` is open at first; while it is closed, `compute` waits, and `entered` tells that it has begun.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[str]] = []
        self.failure: str | None = None
        self.watchers: list[Callable[[str], None]] = []
        self._model = Model("echo", Task.SENTIMENT, HuggingFaceSource("qda-test/echo", "0" * 40, ()))

    @property
    def info(self) -> ModelInfo:
        return describe(self._model, max_length=ROOM)

    @property
    def budget(self) -> BatchBudget:
        return BatchBudget(length=4 * ROOM, units=8)

    def watch(self, on_failure: Callable[[str], None]) -> None:
        self.watchers.append(on_failure)

    def prepare(self, text: str, options: Options) -> Prepared[str]:
        require_characters(text)
        if "?" in text:
            raise ValueError(text)
        spans = choose_spans(len(text), ROOM, options.long_text)
        units = tuple(Unit(text[span.start : span.end], span.length) for span in spans)
        return Prepared(
            units, spans, len(text), len(text) if options.long_text is LongText.WINDOW else spans[0].end
        )

    def compute(self, units: Sequence[Unit[str]]) -> list[str]:
        texts = [unit.payload for unit in units]
        self.batches.append(texts)
        self.entered.release()
        assert self.gate.wait(30)
        if any("†" in text for text in texts):
            raise ModelDied("the echo died away")
        if any("!" in text for text in texts):
            raise ArithmeticError(texts)
        return [text.upper() for text in texts]

    def finish(self, text: str, prepared: Prepared[str], outputs: Sequence[str]) -> Finished[str]:
        if "#" in text:
            raise ValueError(text)
        whole = outputs[0]
        for before, after, output in zip(prepared.windows, prepared.windows[1:], outputs[1:], strict=False):
            whole += output[before.end - after.start :]
        return Finished(whole, usage_in_tokens(prepared))

    def close(self) -> None:
        pass
