"""The sentiment model equals transformers called directly on the same files."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from model_cache.catalog.catalog import Cleaning, Serving, Task
from qda_worker.errors import ModelUnusable, TextEmpty, TextTooLong
from qda_worker.models.base import LongText, Options, TextResult
from qda_worker.models.loading import load_model
from qda_worker.models.sentiment import Sentiment, SentimentAnswer, clean_german_sentiment
from tests.support.tiny_models import GERMAN, hub_model, write_classifier

LONG: Final = "das Haus in Köln war nicht schlecht und die Stadt ist sehr gut " * 5
OWN_ORDER: Final = ("positive", "negative", "neutral")


def answer(model: Any, text: str, policy: LongText = LongText.CUT) -> TextResult[SentimentAnswer]:
    prepared = model.prepare(text, Options(policy))
    finished: TextResult[SentimentAnswer] = model.finish(text, prepared, model.compute(prepared.units))
    return finished


def plain(folder: Path, texts: list[str], **tokenizing: Any) -> Any:
    """Return the probabilities as the code of the model card computes them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt", **tokenizing)
    encoded.pop("overflow_to_sample_mapping", None)
    with torch.inference_mode():
        return torch.softmax(network(**encoded).logits, dim=-1).numpy()


def in_own_order(finished: TextResult[SentimentAnswer]) -> list[float]:
    return [finished.answer.probabilities[Sentiment(label)] for label in OWN_ORDER]


def test_results_equal_the_plain_library_alone_and_in_a_batch(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, OWN_ORDER)
    texts = [*GERMAN, LONG]
    model = load_model(hub_model(Task.SENTIMENT), folder, device="cpu", threads=1)
    units = [model.prepare(text, Options()).units[0] for text in texts]
    together = model.compute(units)
    alone = [model.compute([unit])[0] for unit in units]
    np.testing.assert_allclose(together, plain(folder, texts), atol=1e-5)
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_german_cleaning_is_applied_before_the_tokenizer(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, OWN_ORDER)
    serving = Serving(cleaning=Cleaning.GERMAN_SENTIMENT)
    model = load_model(hub_model(Task.SENTIMENT, serving), folder, device="cpu", threads=1)
    expected = plain(folder, [clean_german_sentiment(text) for text in GERMAN])
    np.testing.assert_allclose([in_own_order(answer(model, text)) for text in GERMAN], expected, atol=1e-5)


def test_the_label_is_the_most_probable_and_the_sum_is_one(tmp_path: Path) -> None:
    model = load_model(
        hub_model(Task.SENTIMENT), write_classifier(tmp_path, OWN_ORDER), device="cpu", threads=1
    )
    for text in GERMAN:
        found = answer(model, text).answer
        assert sum(found.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
        assert found.probabilities[found.sentiment] == max(found.probabilities.values())


def test_a_long_text_is_cut_as_by_the_library_and_reported(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, OWN_ORDER)
    model = load_model(hub_model(Task.SENTIMENT), folder, device="cpu", threads=1)
    found = answer(model, LONG)
    whole = len(AutoTokenizer.from_pretrained(folder)(LONG)["input_ids"])
    assert (found.usage.token_count, found.usage.used_token_count) == (whole, 24)
    assert found.usage.cut
    assert not answer(model, "gut").usage.cut


@pytest.mark.parametrize("words", [21, 22, 23])
def test_the_limit_counts_special_tokens(tmp_path: Path, words: int) -> None:
    """22 words and [CLS], [SEP] are the 24 tokens of the limit; one more is too long."""
    model = load_model(
        hub_model(Task.SENTIMENT), write_classifier(tmp_path, OWN_ORDER), device="cpu", threads=1
    )
    text = " ".join(["gut"] * words)
    if words > 22:
        with pytest.raises(TextTooLong, match="25 tokens and the model reads 24"):
            model.prepare(text, Options(LongText.ERROR))
    else:
        assert answer(model, text, LongText.ERROR).usage.token_count == words + 2


def test_windows_equal_the_tokenizers_and_are_weighted_by_length(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, OWN_ORDER)
    model = load_model(hub_model(Task.SENTIMENT), folder, device="cpu", threads=1)
    found = answer(model, LONG, LongText.WINDOW)
    overlap = 22 // 8
    rows = plain(folder, [LONG], return_overflowing_tokens=True, stride=overlap)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    windows = tokenizer([LONG], truncation=True, return_overflowing_tokens=True, stride=overlap)["input_ids"]
    weights = [len(window) - 2 for window in windows]
    np.testing.assert_allclose(in_own_order(found), np.average(rows, axis=0, weights=weights), atol=1e-5)
    assert found.usage.window_count == len(windows) > 1
    assert found.usage.used_token_count == found.usage.token_count
    assert not found.usage.cut


def test_the_catalog_may_lower_the_limit_and_the_network_bounds_it(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, OWN_ORDER, limit=100, positions=24)
    assert load_model(hub_model(Task.SENTIMENT), folder, device="cpu", threads=1).info.max_length == 24
    lower = hub_model(Task.SENTIMENT, Serving(max_tokens=10))
    assert load_model(lower, folder, device="cpu", threads=1).info.max_length == 10


def test_other_labels_are_mapped_by_the_catalog(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, ("LABEL_0", "LABEL_1", "Neu"))
    serving = Serving(labels={"LABEL_0": "negative", "LABEL_1": "positive"})
    model = load_model(hub_model(Task.SENTIMENT, serving), folder, device="cpu", threads=1)
    negative, positive, neutral = plain(folder, ["gut"])[0]
    found = answer(model, "gut").answer.probabilities
    expected = {Sentiment.NEGATIVE: negative, Sentiment.POSITIVE: positive, Sentiment.NEUTRAL: neutral}
    assert found == pytest.approx(expected, abs=1e-5)
    assert model.info.labels == ("negative", "neutral", "positive")


def test_probabilities_of_labels_mapped_to_one_add_up(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, ("1 star", "2 stars", "3 stars"))
    serving = Serving(labels={"1 star": "negative", "2 stars": "negative", "3 stars": "positive"})
    model = load_model(hub_model(Task.SENTIMENT, serving), folder, device="cpu", threads=1)
    row = plain(folder, ["gut"])[0]
    found = answer(model, "gut").answer.probabilities
    assert found[Sentiment.NEGATIVE] == pytest.approx(row[0] + row[1], abs=1e-5)
    assert found[Sentiment.NEUTRAL] == 0.0


@pytest.mark.parametrize(
    ("labels", "serving", "message"),
    [
        (("LABEL_0", "LABEL_1"), {}, "LABEL_0, LABEL_1 are neither positive"),
        (("pos", "neg"), {"LABEL_7": "neutral"}, "names LABEL_7, and the model has pos, neg"),
        (("only",), {}, "1 outputs"),
    ],
)
def test_unknown_labels_are_refused(
    tmp_path: Path, labels: tuple[str, ...], serving: dict[str, str], message: str
) -> None:
    folder = write_classifier(tmp_path, labels)
    with pytest.raises(ModelUnusable, match=message) as refused:
        load_model(hub_model(Task.SENTIMENT, Serving(labels=serving)), folder, device="cpu", threads=1)
    assert "serving.labels" in refused.value.remedy or "single-label" in refused.value.remedy


def test_an_empty_text_is_refused_and_one_emptied_by_cleaning_is_not(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, OWN_ORDER)
    serving = Serving(cleaning=Cleaning.GERMAN_SENTIMENT)
    model = load_model(hub_model(Task.SENTIMENT, serving), folder, device="cpu", threads=1)
    with pytest.raises(TextEmpty):
        model.prepare("", Options())
    np.testing.assert_allclose(in_own_order(answer(model, "😀")), plain(folder, [""])[0], atol=1e-5)


def test_many_threads_may_tokenize_at_once(tmp_path: Path) -> None:
    """A fast tokenizer raises "Already borrowed" if its settings change meanwhile."""
    model = load_model(
        hub_model(Task.SENTIMENT), write_classifier(tmp_path, OWN_ORDER), device="cpu", threads=1
    )
    texts = [*GERMAN, LONG] * 20

    def ids(text: str) -> list[list[int]]:
        prepared = model.prepare(text, Options(LongText.WINDOW if len(text) > 50 else LongText.CUT))
        return [unit.payload.tolist() for unit in prepared.units]

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(ids, texts))
    assert together == [ids(text) for text in texts]
