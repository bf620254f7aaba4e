"""A text with exactly the maximum number of tokens is read whole; one more is refused, cut or windowed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from model_cache.catalog.catalog import Task
from qda_worker.errors import TextTooLong
from qda_worker.models.base import LongText, Options
from qda_worker.models.loading import load_model
from tests.support.tiny_models import hub_model, write_classifier, write_embedding

LABELS: Final = ("positive", "negative", "neutral")
MODELS: Final[dict[int, tuple[Task, Callable[[Path], Path]]]] = {
    512: (Task.SENTIMENT, lambda folder: write_classifier(folder, LABELS, limit=512, positions=512)),
    8192: (
        Task.EMBEDDING,
        lambda folder: write_embedding(
            folder, max_seq_length=8192, normalize=True, pooling="cls", positions=8194
        ),
    ),
}


def lengths_of(model: Any, text: str, policy: LongText) -> tuple[int, int, bool, int]:
    prepared = model.prepare(text, Options(policy))
    return prepared.length, prepared.used_length, prepared.cut, len(prepared.windows)


@pytest.mark.parametrize("limit", MODELS)
def test_the_last_token_that_fits_and_the_first_that_does_not(tmp_path: Path, limit: int) -> None:
    task, write = MODELS[limit]
    model = load_model(hub_model(task), write(tmp_path), device="cpu", threads=1)
    assert model.info.max_length == limit
    fits, over = ("gut " * (limit - 2)).rstrip(), ("gut " * (limit - 1)).rstrip()
    for policy in LongText:
        assert lengths_of(model, fits, policy) == (limit, limit, False, 1)
    assert lengths_of(model, over, LongText.CUT) == (limit + 1, limit, True, 1)
    assert lengths_of(model, over, LongText.WINDOW) == (limit + 1, limit + 1, False, 2)
    with pytest.raises(TextTooLong, match=f"has {limit + 1} tokens and the model reads {limit}"):
        model.prepare(over, Options(LongText.ERROR))
    prepared = model.prepare(over, Options())
    assert model.finish(over, prepared, model.compute(prepared.units)).usage.used_token_count == limit
