"""A model without weights whose result is a function of the text, for tests of the queue."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from model_cache.catalog.catalog import HuggingFaceSource, Model, Task
from qda_worker.errors import ModelDied
from qda_worker.models.base import (
    LongText,
    ModelInfo,
    Options,
    PreparedText,
    TextResult,
    Unit,
    model_info,
    require_non_empty,
    usage_in_tokens,
)
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.models.tokenization import choose_spans

# Characters that the model reads at once.
MAX_LENGTH: Final = 40


class EchoModel:
    """Returns a text in upper case; reads a text of more than 40 characters in windows.

    Some characters cause failures: "!" makes `compute` raise for the whole batch, "†" kills the model, "?" makes
    `prepare` raise and "#" makes `finish` raise.

    Attributes:
        gate: open at first; while it is closed, `compute` waits.
        entered: released by each `compute` when it starts.
        batches: the texts of each batch so far.
        watchers: callbacks registered by `watch`.
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
        return model_info(self._model, max_length=MAX_LENGTH)

    @property
    def budget(self) -> BatchBudget:
        return BatchBudget(length=4 * MAX_LENGTH, units=8)

    @property
    def away_seconds(self) -> float:
        return 0.0

    def abort(self, seconds: float) -> bool:
        return False

    def watch(self, on_failure: Callable[[str], None]) -> None:
        self.watchers.append(on_failure)

    def prepare_steps(self, text: str, options: Options) -> Iterator[PreparedText[str] | None]:
        yield self.prepare(text, options)

    def prepare(self, text: str, options: Options) -> PreparedText[str]:
        require_non_empty(text)
        if "?" in text:
            raise ValueError(text)
        spans = choose_spans(len(text), MAX_LENGTH, options.long_text)
        units = tuple(Unit(text[span.start : span.end], span.length) for span in spans)
        return PreparedText(
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

    def finish(self, text: str, prepared: PreparedText[str], outputs: Sequence[str]) -> TextResult[str]:
        if "#" in text:
            raise ValueError(text)
        whole = outputs[0]
        for before, after, output in zip(prepared.windows, prepared.windows[1:], outputs[1:], strict=False):
            whole += output[before.end - after.start :]
        return TextResult(whole, usage_in_tokens(prepared))

    def close(self) -> None:
        pass
