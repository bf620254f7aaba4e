"""How long a short interactive text waits while one long bulk text is computed, on a random model.

The model has the shape of XLM-R base and random weights, so nothing is downloaded. The same run is done without and
with pauses between the layers, and the vectors of the long text are compared bit by bit.
"""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from model_cache.catalog.catalog import HuggingFaceSource, Model, Task
from qda_worker.cpu import cpu_budget
from qda_worker.models.base import (
    ModelInfo,
    Options,
    PreparedText,
    TextResult,
    Unit,
    model_info,
    usage_in_tokens,
)
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.models.in_process import InProcessModel
from qda_worker.models.layer_pauses import add_pause_points
from qda_worker.scheduling.jobs import Lane, Success
from qda_worker.scheduling.queue import ModelQueue
from qda_worker.sentences.span import Span

# Seconds that the long text has been computed when the short one arrives.
_HEAD_START: Final = 1.0


class RandomModel(InProcessModel):
    """The first hidden state of an encoder; a text of n characters has n tokens."""

    def __init__(self, layers: int, width: int, tokens: int) -> None:
        torch.manual_seed(1)
        config = XLMRobertaConfig(
            vocab_size=1000,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            intermediate_size=4 * width,
            max_position_embeddings=tokens + 2,
        )
        self.network = XLMRobertaModel(config).train(mode=False)
        self._tokens = tokens

    @property
    def info(self) -> ModelInfo:
        source = HuggingFaceSource("benchmark/random", "0" * 40, ())
        return model_info(Model("random", Task.EMBEDDING, source), max_length=self._tokens)

    @property
    def budget(self) -> BatchBudget:
        return BatchBudget(length=1024, units=64)

    def prepare_steps(self, text: str, options: Options) -> Iterator[PreparedText[int] | None]:
        yield self.prepare(text, options)

    def prepare(self, text: str, options: Options) -> PreparedText[int]:
        length = len(text)
        return PreparedText((Unit(length, length),), (Span(0, length),), length, length)

    def compute(self, units: Sequence[Unit[int]]) -> list[Any]:
        with torch.inference_mode():
            longest = max(unit.length for unit in units)
            ids = torch.arange(longest).remainder(900).add(5).repeat(len(units), 1)
            return list(self.network(input_ids=ids).last_hidden_state[:, 0].numpy())

    def finish(self, text: str, prepared: PreparedText[int], outputs: Sequence[Any]) -> TextResult[Any]:
        return TextResult(outputs[0], usage_in_tokens(prepared))


def measure(model: RandomModel) -> tuple[float, float, Any]:
    """Return the seconds of the long text and of the short one beside it, and the vector of the long one."""
    with ThreadPoolExecutor(1) as pool:
        queue: ModelQueue[Any, Any, Any] = ModelQueue(model, pool)
        began = time.monotonic()
        long = queue.submit(["x" * model.info.max_length], lane=Lane.BULK)
        time.sleep(_HEAD_START)
        asked = time.monotonic()
        queue.submit(["x" * 10]).result()
        waited = time.monotonic() - asked
        (outcome,) = long.result()
        seconds = time.monotonic() - began
        queue.close(drain=True)
    assert isinstance(outcome, Success)
    return seconds, waited, outcome.result


def main() -> None:
    """Print both runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=8192)
    arguments = parser.parse_args()
    torch.set_num_threads(cpu_budget(os.environ).threads)
    model = RandomModel(arguments.layers, arguments.width, arguments.tokens)
    print("pauses    long text    short text beside it")
    seconds, waited, without = measure(model)
    print(f"no        {seconds:7.1f} s    {waited:7.2f} s")
    add_pause_points(model.network)
    seconds, waited, with_pauses = measure(model)
    print(f"yes       {seconds:7.1f} s    {waited:7.2f} s")
    print("the same vector to the last bit:", bool((without == with_pauses).all()))


if __name__ == "__main__":
    main()
