"""Equal texts are computed once, and each gets its result."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from qda_worker.models.base import LongText, Options
from qda_worker.scheduling.jobs import Lane, Success
from qda_worker.scheduling.queue import ModelQueue
from tests.support.echo_model import EchoModel
from tests.support.queue_harness import WAIT, Queue, QueueHarness, results

LONG: Final = "long text " * 8
TEXTS: Final = st.lists(st.sampled_from(["a", "b", "bad!", "odd?", "late#", "", LONG]), max_size=30)


@settings(max_examples=60)
@given(TEXTS, st.sampled_from(LongText), st.sampled_from(Lane))
def test_each_text_of_a_call_gets_the_outcome_that_it_has_alone(
    texts: list[str], policy: LongText, lane: Lane
) -> None:
    options = Options(policy)
    with ThreadPoolExecutor(2) as threads:
        queue: Queue = ModelQueue(EchoModel(), threads)
        alone = {text: results(queue.submit([text], options).result(WAIT)) for text in set(texts)}
        outcomes = queue.submit(texts, options, lane=lane).result(WAIT)
        assert results(outcomes) == [alone[text][0] for text in texts]
        assert queue.waiting == 0
        assert queue.close(drain=True, timeout=WAIT)


def test_equal_texts_of_a_call_are_tokenized_and_computed_once(harness: QueueHarness) -> None:
    texts = [f"text {number % 7}" for number in range(100)]
    outcomes = harness.queue.submit(texts).result(WAIT)
    assert results(outcomes) == [text.upper() for text in texts]
    assert Counter(text for batch in harness.model.batches for text in batch) == Counter(set(texts))
    assert len(harness.observer.outcomes) == 100
    timings = [outcome.timings for outcome in outcomes]
    assert all(each.tokenize == each.compute == 0.0 for each in timings[7:])
    assert all(each.queue == timings[number % 7].queue for number, each in enumerate(timings))


def test_equal_texts_of_several_calls_are_computed_once(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    calls = [harness.queue.submit([f"own {number}", "same"], caller=str(number)) for number in range(6)]
    cancelled = harness.queue.submit(["same", "gone"])
    harness.wait_for_tokenizer()
    assert cancelled.cancel()
    harness.model.gate.set()
    for number, call in enumerate(calls):
        assert results(call.result(WAIT)) == [f"OWN {number}", "SAME"]
    computed = Counter(text for batch in harness.model.batches for text in batch)
    assert computed["same"] == 1
    assert "gone" not in computed
    assert sum(tokens for _, tokens, _, _ in harness.observer.batches) == sum(
        len(text) * count for text, count in computed.items()
    )


def test_equal_texts_share_the_time_of_their_computation(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    calls = [harness.queue.submit(["same"]) for _ in range(4)]
    other = harness.queue.submit(["more"])
    harness.wait_for_tokenizer()
    harness.now += 5
    harness.model.gate.set()
    outcomes = [outcome for call in (*calls, other) for outcome in call.result(WAIT)]
    shares = [outcome.timings.compute for outcome in outcomes]
    assert all(share == shares[4] / 4 for share in shares[:4])


def test_other_options_are_another_computation(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    cut, window, again, equal = (
        harness.queue.submit([LONG], Options(policy))
        for policy in (LongText.CUT, LongText.WINDOW, LongText.CUT, LongText.WINDOW)
    )
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    for call, length in ((cut, 40), (again, 40), (window, 80), (equal, 80)):
        (outcome,) = call.result(WAIT)
        assert isinstance(outcome, Success)
        assert outcome.result == LONG.upper()[:length]
    assert sum(map(len, harness.model.batches[1:])) == 1 + 3


def test_a_bad_text_fails_for_each_of_its_callers_and_for_nobody_else(harness: QueueHarness) -> None:
    harness.block_compute_thread()
    calls = [harness.queue.submit(["bad!", "good"]) for _ in range(3)]
    harness.wait_for_tokenizer()
    harness.model.gate.set()
    assert [results(call.result(WAIT)) for call in calls] == [["MODEL_FAILED", "GOOD"]] * 3
    assert sorted(map(sorted, harness.model.batches[1:])) == [["bad!"], ["bad!", "good"], ["good"]]
