"""Each sentence of a text gets the result that transformers gives for it alone."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from model_cache.catalog.catalog import Cleaning, Serving, Task
from qda_worker.errors import TextTooLong, TooManyTexts
from qda_worker.models.base import LongText, TextResult
from qda_worker.models.loading import load_model
from qda_worker.models.sentence_units import SentenceOptions
from qda_worker.models.sentiment import Sentiment, SentimentAnswer, clean_german_sentiment
from tests.service.models.test_sentiment import OWN_ORDER, answer, plain
from tests.support.tiny_models import hub_model, write_classifier

TEXT: Final = "😀 Das war gut!\n„Nicht schlecht.“ Die Stadt ist u. a. schön. Das war gut!  "
SENTENCES: Final = ["😀 Das war gut!", "„Nicht schlecht.“", "Die Stadt ist u. a. schön.", "Das war gut!"]
TOLERANCE: Final = 1e-5  # float32: a batch's padding changes the last bits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("sentiment"), OWN_ORDER)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    serving = Serving(cleaning=Cleaning.GERMAN_SENTIMENT)
    return load_model(hub_model(Task.SENTIMENT, serving), folder, device="cpu", threads=1)


def answer_sentences(model: Any, text: str, policy: LongText = LongText.CUT) -> TextResult[SentimentAnswer]:
    prepared = model.prepare(text, SentenceOptions(policy))
    finished: TextResult[SentimentAnswer] = model.finish(text, prepared, model.compute(prepared.units))
    return finished


def rows(found: SentimentAnswer) -> list[list[float]]:
    return [[each.probabilities[Sentiment(label)] for label in OWN_ORDER] for each in found.sentences]


def test_each_sentence_equals_the_plain_library_on_that_sentence(model: Any, folder: Path) -> None:
    found = answer_sentences(model, TEXT).answer
    assert [TEXT[each.span.start : each.span.end] for each in found.sentences] == SENTENCES
    expected = plain(folder, [clean_german_sentiment(sentence) for sentence in SENTENCES])
    np.testing.assert_allclose(rows(found), expected, atol=TOLERANCE)
    for each in found.sentences:
        assert each.probabilities[each.sentiment] == max(each.probabilities.values())


def test_the_result_of_the_text_does_not_depend_on_its_sentences(model: Any) -> None:
    with_them, without = answer_sentences(model, TEXT), answer(model, TEXT)
    assert with_them.answer.sentiment is without.answer.sentiment
    assert with_them.answer.probabilities == pytest.approx(without.answer.probabilities, abs=TOLERANCE)
    assert with_them.usage == without.usage
    assert without.answer.sentences == ()


def test_equal_sentences_are_computed_once(model: Any) -> None:
    prepared = model.prepare("Gut. " * 1000, SentenceOptions())
    assert len(prepared.sentences) == 1000
    assert len(prepared.units) == 2  # the whole text, which is cut, and the sentence
    alone = model.prepare("Gut.", SentenceOptions())
    assert len(alone.units) == 1


def test_sentences_after_a_cut_are_computed_with_their_own_policy(model: Any) -> None:
    long = "das war gut und " * 10
    text = f"{long}sehr schlecht. Das ist gut."
    cut = answer_sentences(model, text)
    assert cut.usage.cut
    assert [each.usage.cut for each in cut.answer.sentences] == [True, False]
    windowed = answer_sentences(model, text, LongText.WINDOW)
    assert [each.usage.window_count > 1 for each in windowed.answer.sentences] == [True, False]
    first = windowed.answer.sentences[0]
    alone = answer(model, text[first.span.start : first.span.end], LongText.WINDOW)
    assert first.probabilities == pytest.approx(alone.answer.probabilities, abs=TOLERANCE)
    with pytest.raises(TextTooLong):
        answer_sentences(model, text, LongText.ERROR)


def test_too_many_sentences_are_refused(model: Any) -> None:
    with pytest.raises(TooManyTexts, match="has 100001 sentences"):
        model.prepare("Ja. " * 100_001, SentenceOptions())


def test_a_text_of_blanks_has_a_result_and_no_sentences(model: Any) -> None:
    assert answer_sentences(model, " \n ").answer.sentences == ()
