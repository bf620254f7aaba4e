"""What the sync and the async client give back, each asked the same: results, errors of single texts, provenance."""

import grpc
import pytest

from qda_worker.client import (
    EmbeddingKind,
    Health,
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
    Task,
    Text,
)
from tests.client.conftest import Ask
from tests.support.fake_worker import FakeWorker


def test_sentiment_keeps_the_order_over_many_requests(worker: FakeWorker, ask: Ask) -> None:
    texts = [Text("gut :)" if index % 3 else "nun", id=str(index)) for index in range(95)]
    done: list[tuple[int, int]] = []
    settings = Settings(worker.target, chunk_texts=10, in_flight=3)
    answer = ask(settings, "sentiment", texts, progress=lambda *state: done.append(state))
    assert [result.id for result in answer] == [text.id for text in texts]
    assert [result.label is SentimentLabel.POSITIVE for result in answer] == [
        ":)" in text.content for text in texts
    ]
    assert done == [(count, 95) for count in [*range(10, 91, 10), 95]]
    assert len(worker.calls) == 10


def test_sentiment_says_what_made_it_and_how_much_was_read(worker: FakeWorker, ask: Ask) -> None:
    long = "das war wirklich ein sehr langer Tag für alle :)"
    answer = ask(Settings(worker.target), "sentiment", [long], sentences=True)
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


@pytest.mark.parametrize("method", ["sentiment", "entities", "embed"])
def test_one_bad_text_spoils_only_itself(worker: FakeWorker, ask: Ask, method: str) -> None:
    answer = ask(Settings(worker.target), method, ["Anna :)", "", "Ben"])
    assert [result.ok for result in answer] == [True, False, True]
    assert (answer[1].error.reason, answer[1].error.message) == ("TEXT_EMPTY", "the text has no characters")
    assert answer[1].error.remedy == "leave it out"


def test_entities_stand_where_python_looks_for_them(worker: FakeWorker, ask: Ask) -> None:
    text = "grüße 👩‍🔬 von Müller an Ärztin"
    [result] = ask(Settings(worker.target), "entities", [text])
    assert [text[entity.start : entity.end] for entity in result.entities] == ["Müller", "Ärztin"]
    assert worker.calls[0].request.offset_encoding == 3
    assert result.offsets is Offsets.CODE_POINTS


def test_every_option_of_entities_travels(worker: FakeWorker, ask: Ask) -> None:
    ask(
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
def test_vectors_are_single_precision_however_they_travelled(
    worker: FakeWorker, ask: Ask, numbers: Numbers
) -> None:
    answer = ask(
        Settings(worker.target), "embed", ["aber", "ja"], numbers=numbers, normalize=False, dimensions=2
    )
    assert [list(result.dense) for result in answer] == [[4.0, 2.0], [2.0, 1.0]]
    assert all(result.sparse is None and result.multi_vector is None for result in answer)
    options = worker.calls[0].request.options
    assert (options.normalize, options.dimension_count) == (False, 2)
    assert options.HasField("normalize")


def test_leaving_normalize_out_leaves_it_to_the_model(worker: FakeWorker, ask: Ask) -> None:
    ask(Settings(worker.target), "embed", ["ja"], kinds=[EmbeddingKind.DENSE, EmbeddingKind.SPARSE])
    options = worker.calls[0].request.options
    assert not options.HasField("normalize")
    assert list(options.kinds) == [1, 2]


def test_pairs_are_scored_one_by_one(worker: FakeWorker, ask: Ask) -> None:
    answer = ask(Settings(worker.target), "score_pairs", [("ab", "cd"), Pair("a", "bcd", id="x"), ("a", "")])
    assert [result.score for result in answer] == [1.0, 0.5, None]
    assert answer[1].id == "x"
    assert answer[2].error.reason == "TEXT_EMPTY"


def test_a_long_list_is_bulk_work_and_a_short_one_interactive(worker: FakeWorker, ask: Ask) -> None:
    settings = Settings(worker.target, chunk_texts=2)
    ask(settings, "sentiment", ["a", "b"])
    ask(settings, "sentiment", ["a", "b", "c"])
    assert [call.request.priority for call in worker.calls] == [0, 2, 2]


def test_models_are_told_with_their_limits(worker: FakeWorker, ask: Ask) -> None:
    found = ask(Settings(worker.target), "models")
    [model] = found.models
    assert (model.key, model.task, model.state) == ("german-sentiment", Task.SENTIMENT, ModelState.SERVING)
    assert (found.limits.texts, found.worker_version) == (10_000, "fake")


def test_the_cache_is_told_with_its_problems(worker: FakeWorker, ask: Ask) -> None:
    worker.health[""] = 2
    status = ask(Settings(worker.target), "cache_status")
    assert (status.reason, status.checked_at) == ("CACHE_INCOMPLETE", None)
    assert status.models[0].problems[0].file == "config.json"
    assert status.models[0].problem_count == 2


@pytest.mark.parametrize(
    ("service", "expected"),
    [("", Health.SERVING), ("qda.v1.EntityService", Health.NOT_SERVING), ("typo", Health.SERVICE_UNKNOWN)],
)
def test_health_is_that_of_the_service(worker: FakeWorker, ask: Ask, service: str, expected: Health) -> None:
    worker.health["qda.v1.EntityService"] = 2
    assert ask(Settings(worker.target), "health", service) is expected


def test_an_answer_with_a_result_too_few_is_never_given_to_the_wrong_texts(
    worker: FakeWorker, ask: Ask
) -> None:
    def lose_a_text(context: grpc.ServicerContext) -> None:
        del worker.calls[-1].request.texts[0]

    worker.script = [lose_a_text]
    with pytest.raises(ServerFailed, match="answered 2 of 3"):
        ask(Settings(worker.target), "sentiment", ["a", "b", "c"])
