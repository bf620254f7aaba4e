"""Pauses between layers change no number, whatever is computed in them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from model_cache.catalog.catalog import Serving, Task
from qda_worker.models.base import LongText, Options, TextModel, Unit
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.models.embedding import load_embedding
from qda_worker.models.layer_pauses import attention_by_heads
from qda_worker.models.pauses import BatchAbandoned, pausing
from qda_worker.models.sentiment import load_sentiment
from tests.support.tiny_models import (
    GERMAN,
    hub_model,
    write_bert_embedding,
    write_classifier,
    write_embedding,
)

BUDGET: Final = BatchBudget(1024, 64)
AnyModel = TextModel[Any, Any, Any]


def classifier(folder: Path) -> AnyModel:
    write_classifier(folder, ("positive", "negative", "neutral"))
    return load_sentiment(hub_model(Task.SENTIMENT), folder, BUDGET)


def xlmr(folder: Path) -> AnyModel:
    write_embedding(folder, max_seq_length=64, normalize=True, pooling="cls", heads=True)
    return load_embedding(hub_model(Task.EMBEDDING, Serving()), folder, BUDGET)


def bert(folder: Path) -> AnyModel:
    write_bert_embedding(folder)
    return load_embedding(hub_model(Task.EMBEDDING), folder, BUDGET)


@pytest.fixture(params=[classifier, xlmr, bert])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> AnyModel:
    load: Callable[[Path], AnyModel] = request.param
    folder = tmp_path / "model"
    folder.mkdir()
    return load(folder)


def units(model: AnyModel, texts: Sequence[str]) -> list[Unit[Any]]:
    return [unit for text in texts for unit in model.prepare(text, Options(LongText.WINDOW)).units]


def arrays(outputs: Sequence[Any]) -> list[Any]:
    return [getattr(output, "dense", output) for output in outputs]


def test_batches_between_the_layers_change_no_number(model: AnyModel) -> None:
    long, short = units(model, GERMAN), units(model, ["nicht schlecht", "x"])
    expected_long, expected_short = arrays(model.compute(long)), arrays(model.compute(short))
    between = list[list[Any]]()

    def compute_another() -> None:
        with pausing(lambda: None):
            between.append(arrays(model.compute(short)))

    with pausing(compute_another):
        found = arrays(model.compute(long))
    assert len(between) >= 12, "six linear layers in each of two layers"
    for outputs, expected in ((found, expected_long), *((each, expected_short) for each in between)):
        assert all(np.array_equal(one, other) for one, other in zip(outputs, expected, strict=True))


def test_a_pass_that_is_given_up_leaves_the_model_usable(model: AnyModel) -> None:
    batch = units(model, GERMAN)
    expected, pauses = arrays(model.compute(batch)), 0

    def give_up() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 9:
            raise BatchAbandoned

    with pytest.raises(BatchAbandoned), pausing(give_up):
        model.compute(batch)
    assert pauses == 9
    assert torch.is_inference_mode_enabled() is False
    assert all(
        np.array_equal(one, other) for one, other in zip(arrays(model.compute(batch)), expected, strict=True)
    )


@pytest.mark.parametrize("masked", ["none", "padding", "by head"])
@pytest.mark.parametrize("tokens", [7, 300, 1100])
def test_attention_by_heads_is_the_same_to_the_last_bit(masked: str, tokens: int) -> None:
    generator = torch.Generator().manual_seed(tokens)
    query, key, value = (torch.randn(2, 6, tokens, 16, generator=generator) for _ in range(3))
    mask = None
    if masked != "none":
        mask = torch.ones(2, 6 if masked == "by head" else 1, tokens, tokens, dtype=torch.bool)
        mask[1, :, :, tokens // 2 :] = False
    module = torch.nn.Module()
    module.is_causal = False  # type: ignore[assignment]
    expected, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.25, dropout=0.0)
    pauses = list[None]()
    with pausing(lambda: pauses.append(None)):
        found, weights = attention_by_heads(
            module, query, key, value, mask, max_scores=2 * 4 * tokens * tokens, scaling=0.25, dropout=0.0
        )
    assert weights is None
    assert len(pauses) == 2, "four heads, then two"
    assert torch.equal(found, expected)
