"""Results of the sync and the async client, which must be the same: values, errors of single texts, provenance."""

from typing import Any

import grpc
import pytest

from qda_worker.client import (
    EmbeddingKind,
    InvalidRequest,
    LabelScheme,
    LongTextOutcome,
    LongTexts,
    ModelState,
    Numbers,
    Offsets,
    Pair,
    Priority,
    SentimentLabel,
    ServerFailed,
    Settings,
    SyntaxLayer,
    Task,
    Text,
)
from tests.client.conftest import Invoke
from tests.support.fake_worker import FakeWorker


def test_sentiment_keeps_the_order_over_many_requests(worker: FakeWorker, invoke: Invoke) -> None:
    texts = [Text("gut :)" if index % 3 else "nun", id=str(index)) for index in range(95)]
    done: list[tuple[int, int]] = []
    settings = Settings(worker.target, chunk_texts=10, in_flight=3)
    answer = invoke(settings, "sentiment", texts, progress=lambda *state: done.append(state))
    assert [result.id for result in answer] == [text.id for text in texts]
    assert [result.label is SentimentLabel.POSITIVE for result in answer] == [
        ":)" in text.content for text in texts
    ]
    assert done == [(count, 95) for count in [*range(10, 91, 10), 95]]
    assert len(worker.calls) == 10


def test_sentiment_has_provenance_usage_and_timings(worker: FakeWorker, invoke: Invoke) -> None:
    long = "das war wirklich ein sehr langer Tag für alle :)"
    answer = invoke(Settings(worker.target), "sentiment", [long], sentences=True)
    [result] = answer
    assert result.ok
    assert result.probabilities.positive == 0.75
    assert (result.usage.outcome, result.usage.used_tokens, result.usage.tokens) == (
        LongTextOutcome.CUT,
        8,
        10,
    )
    assert long[result.sentences[0].start : result.sentences[0].end] == long
    assert result.offsets is Offsets.CODE_POINTS
    assert (answer.provenance.model, answer.provenance.revision) == ("german-sentiment", "c0ffee")
    assert (answer.timings.queue, answer.timings.total) == (0.25, 2.0)


@pytest.mark.parametrize("method", ["sentiment", "entities", "syntax", "embed"])
def test_a_failed_text_does_not_affect_the_others(worker: FakeWorker, invoke: Invoke, method: str) -> None:
    answer = invoke(Settings(worker.target), method, ["Anna :)", "", "Ben"])
    assert [result.ok for result in answer] == [True, False, True]
    assert (answer[1].error.reason, answer[1].error.message) == ("TEXT_EMPTY", "the text has no characters")
    assert answer[1].error.remedy == "leave it out"


@pytest.mark.parametrize("method", ["sentiment", "entities", "syntax", "embed"])
@pytest.mark.parametrize("place", [0, 3, 6])
def test_half_an_emoji_does_not_affect_the_other_texts(
    worker: FakeWorker, invoke: Invoke, method: str, place: int
) -> None:
    texts = [Text("gut", id=str(index)) for index in range(7)]
    texts[place] = Text("Gr\ud83d", id="half")
    answer = invoke(Settings(worker.target, chunk_texts=2), method, texts)
    assert [result.ok for result in answer] == [index != place for index in range(7)]
    assert (answer[place].id, answer[place].error.reason) == ("half", "TEXT_NOT_UTF8")
    assert "U+D83D) at position 2" in answer[place].error.message


def test_a_pair_with_half_an_emoji_does_not_affect_the_others(worker: FakeWorker, invoke: Invoke) -> None:
    answer = invoke(
        Settings(worker.target), "score_pairs", [("a", "b"), Pair("a", "\udc80", id="x"), ("a", "bc")]
    )
    assert [result.score for result in answer] == [1.0, None, 0.5]
    assert (answer[1].id, answer[1].error.reason) == ("x", "TEXT_NOT_UTF8")


def test_each_part_of_an_answer_is_delivered_in_order(worker: FakeWorker, invoke: Invoke) -> None:
    texts = ["gut :)" if index % 3 else "\ud83d" for index in range(25)]
    parts: list[tuple[int, Any]] = []
    settings = Settings(worker.target, chunk_texts=10)
    answer = invoke(settings, "sentiment", texts, on_results=lambda *part: parts.append(part))
    assert [start for start, _ in parts] == [0, 10, 20]
    assert [result for _, part in parts for result in part] == list(answer)
    assert parts[0][1].provenances == answer.provenances


def test_entity_positions_are_indices_of_python_strings(worker: FakeWorker, invoke: Invoke) -> None:
    text = "grüße 👩‍🔬 von Müller an Ärztin"
    [result] = invoke(Settings(worker.target), "entities", [text])
    assert [text[entity.start : entity.end] for entity in result.entities] == ["Müller", "Ärztin"]
    assert worker.calls[0].request.offset_encoding == 3
    assert result.offsets is Offsets.CODE_POINTS


def test_tokens_give_the_text_and_the_layers_that_were_asked_for(worker: FakeWorker, invoke: Invoke) -> None:
    text = "Grüße 👩‍🔬 von Müller"
    [result] = invoke(Settings(worker.target), "syntax", [text], layers=["lemma", SyntaxLayer.DEPENDENCY])
    assert "".join(token.text + " " * token.space_after for token in result.tokens) == text
    assert [text[token.start : token.end] for token in result.tokens] == text.split()
    assert [(token.lemma, token.head) for token in result.tokens][:2] == [("grüße", 0), ("👩‍🔬", 0)]
    assert [(each.first_token, each.token_count) for each in result.sentences] == [(0, 4)]
    assert result.layers == (SyntaxLayer.LEMMA, SyntaxLayer.DEPENDENCY)
    assert result.offsets is Offsets.CODE_POINTS


def test_texts_for_syntax_are_sent_a_mebibyte_at_a_time(worker: FakeWorker, invoke: Invoke) -> None:
    """The response has many times the bytes of the request."""
    texts = ["x" * 400_000, "y" * 400_000, "z" * 400_000, "a" * 2_000_000, "b"]
    answer = invoke(Settings(worker.target), "syntax", texts)
    assert [result.tokens[0].text for result in answer] == texts
    assert sorted(len(call.request.texts) for call in worker.calls) == [1, 1, 1, 2]


def test_an_unknown_layer_is_refused_before_it_is_sent(worker: FakeWorker, invoke: Invoke) -> None:
    with pytest.raises(InvalidRequest, match="layers: 'stems' is not one of: sentences, lemma"):
        invoke(Settings(worker.target), "syntax", ["a"], layers=["stems"])
    assert not worker.calls


def test_a_prompt_is_sent_with_each_kind_of_request(worker: FakeWorker, invoke: Invoke) -> None:
    settings = Settings(worker.target)
    invoke(settings, "embed", ["a"], prompt_name="query")
    invoke(settings, "embed", ["a"], prompt_name="query", stream=True)
    invoke(settings, "score_pairs", [("a", "b")], prompt_name="query")
    assert [call.request.prompt_name for call in worker.calls] == ["query"] * 3


def test_every_option_of_entities_is_sent(worker: FakeWorker, invoke: Invoke) -> None:
    invoke(
        Settings(worker.target),
        "entities",
        ["Anna"],
        model="german-ner",
        long_texts=LongTexts.WINDOW,
        priority=Priority.BULK,
        offsets=Offsets.UTF16_UNITS,
        label_scheme=LabelScheme.COMMON,
        labels=["PERSON"],
    )
    sent = worker.calls[0].request
    assert (sent.model, list(sent.labels)) == ("german-ner", ["PERSON"])
    assert (sent.long_text_policy, sent.priority, sent.offset_encoding, sent.label_scheme) == (3, 2, 2, 2)


@pytest.mark.parametrize("numbers", list(Numbers))
def test_vectors_are_single_precision_in_every_number_format(
    worker: FakeWorker, invoke: Invoke, numbers: Numbers
) -> None:
    answer = invoke(
        Settings(worker.target), "embed", ["aber", "ja"], numbers=numbers, normalize=False, dimensions=2
    )
    assert [list(result.dense) for result in answer] == [[4.0, 2.0], [2.0, 1.0]]
    assert all(result.sparse is None and result.multi_vector is None for result in answer)
    options = worker.calls[0].request.options
    assert (options.normalize, options.dimension_count) == (False, 2)
    assert options.HasField("normalize")


def test_without_normalize_the_model_decides(worker: FakeWorker, invoke: Invoke) -> None:
    invoke(Settings(worker.target), "embed", ["ja"], kinds=[EmbeddingKind.DENSE, EmbeddingKind.SPARSE])
    options = worker.calls[0].request.options
    assert not options.HasField("normalize")
    assert list(options.kinds) == [1, 2]


def test_each_pair_has_its_score(worker: FakeWorker, invoke: Invoke) -> None:
    answer = invoke(
        Settings(worker.target), "score_pairs", [("ab", "cd"), Pair("a", "bcd", id="x"), ("a", "")]
    )
    assert [result.score for result in answer] == [1.0, 0.5, None]
    assert answer[1].id == "x"
    assert answer[2].error.reason == "TEXT_EMPTY"


def test_a_long_list_is_bulk_and_a_short_one_interactive(worker: FakeWorker, invoke: Invoke) -> None:
    settings = Settings(worker.target, chunk_texts=2)
    invoke(settings, "sentiment", ["a", "b"])
    invoke(settings, "sentiment", ["a", "b", "c"])
    assert [call.request.priority for call in worker.calls] == [0, 2, 2]


def test_models_are_returned_with_the_limits(worker: FakeWorker, invoke: Invoke) -> None:
    found = invoke(Settings(worker.target), "models")
    [model] = found.models
    assert (model.key, model.task, model.state) == ("german-sentiment", Task.SENTIMENT, ModelState.SERVING)
    assert (found.limits.texts, found.worker_version) == (10_000, "fake")


def test_the_cache_status_has_its_problems(worker: FakeWorker, invoke: Invoke) -> None:
    worker.health[""] = 2
    status = invoke(Settings(worker.target), "cache_status")
    assert (status.reason, status.checked_at) == ("CACHE_INCOMPLETE", None)
    assert status.models[0].problems[0].file == "config.json"
    assert status.models[0].problem_count == 2


def test_a_response_with_a_missing_result_is_an_error(worker: FakeWorker, invoke: Invoke) -> None:
    def lose_a_text(context: grpc.ServicerContext) -> None:
        del worker.calls[-1].request.texts[0]

    worker.faults = [lose_a_text]
    with pytest.raises(ServerFailed, match="answered 2 of 3"):
        invoke(Settings(worker.target), "sentiment", ["a", "b", "c"])
