"""Interactive work runs between the parts of a bulk batch, and a batch that is not needed any more is abandoned."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Final

import pytest

from qda_worker.errors import DeadlineTooShort, Draining
from qda_worker.models.base import Unit
from qda_worker.models.pauses import pause_point
from qda_worker.scheduling.jobs import Lane
from tests.support.echo_model import EchoModel
from tests.support.queue_harness import WAIT, QueueHarness, results

LAYERS: Final = 4


class LayeredModel(EchoModel):
    """Takes one second of the test's clock per layer of a batch of bulk texts, and 0.1 s per other batch.

    Attributes:
        between: called before each layer of a batch of bulk texts, with the layer's number.
        finished: the batches that were computed to their end.
    """

    harness: QueueHarness

    def __init__(self) -> None:
        super().__init__()
        self.between: Callable[[int], None] = lambda _layer: None
        self.finished: list[list[str]] = []

    def compute(self, units: Sequence[Unit[str]]) -> list[str]:
        outputs = super().compute(units)
        long = any("bulk" in unit.payload for unit in units)
        for layer in range(LAYERS if long else 1):
            if long:
                self.between(layer)
            pause_point()
            self.harness.now += 1.0 if long else 0.1
        self.finished.append([unit.payload for unit in units])
        return outputs


@pytest.fixture
def model(pool: Executor) -> Iterator[LayeredModel]:
    model = LayeredModel()
    model.harness = QueueHarness(pool, model)
    yield model
    model.gate.set()
    assert model.harness.queue.close(drain=False, timeout=WAIT)


def submit_and_tokenize(harness: QueueHarness, texts: Sequence[str], lane: Lane = Lane.INTERACTIVE) -> None:
    harness.queue.submit(texts, lane=lane)
    harness.wait_for_tokenizer()


def test_interactive_work_runs_between_the_layers_of_a_bulk_batch(model: LayeredModel) -> None:
    harness = model.harness
    model.between = lambda layer: submit_and_tokenize(harness, ["click"]) if layer == 2 else None
    bulk = harness.queue.submit(["bulk"], lane=Lane.BULK).result(WAIT)
    assert model.finished == [["click"], ["bulk"]]
    assert results(bulk) == ["BULK"]
    assert bulk[0].timings.compute == pytest.approx(4.0), "without the interruption"
    assert [batch[3] for batch in harness.observer.batches] == pytest.approx([0.1, 4.0])


def test_an_interactive_batch_is_not_interrupted(model: LayeredModel) -> None:
    harness = model.harness
    model.between = lambda layer: submit_and_tokenize(harness, ["click"]) if layer == 2 else None
    harness.queue.submit(["bulk by its text only"]).result(WAIT)
    assert model.finished[0] == ["bulk by its text only"]


def test_a_bad_interrupting_text_fails_alone(model: LayeredModel) -> None:
    harness = model.harness
    futures = []

    def submit(layer: int) -> None:
        if layer == 2:
            futures.append(harness.queue.submit(["click", "!"]))
            harness.wait_for_tokenizer()

    model.between = submit
    assert results(harness.queue.submit(["bulk"], lane=Lane.BULK).result(WAIT)) == ["BULK"]
    assert results(futures[0].result(WAIT)) == ["CLICK", "MODEL_FAILED"]


def test_a_batch_whose_callers_have_gone_is_given_up(model: LayeredModel) -> None:
    harness, begun, go_on = model.harness, threading.Event(), threading.Event()

    def wait(layer: int) -> None:
        if layer == 2:
            begun.set()
            assert go_on.wait(WAIT)

    model.between = wait
    gone = harness.queue.submit(["bulk 1", "bulk 2"], lane=Lane.BULK)
    assert begun.wait(WAIT)
    gone.cancel()
    go_on.set()
    assert results(harness.queue.submit(["next"]).result(WAIT)) == ["NEXT"]
    assert model.finished == [["next"]]


def test_a_batch_with_one_remaining_caller_is_computed(model: LayeredModel) -> None:
    harness = model.harness
    harness.block_compute_thread()
    gone = harness.queue.submit(["bulk a"], lane=Lane.BULK)
    kept = harness.queue.submit(["bulk b"], lane=Lane.BULK)
    harness.wait_for_tokenizer()
    model.between = lambda _layer: harness.wait_for_tokenizer() if gone.cancel() else None
    model.gate.set()
    assert results(kept.result(WAIT)) == ["BULK B"]


def test_a_deadline_that_passes_between_layers_ends_the_batch(model: LayeredModel) -> None:
    harness = model.harness
    late = harness.queue.submit(["bulk"], lane=Lane.BULK, deadline=harness.now + 2.5)
    with pytest.raises(DeadlineTooShort, match="while the texts were computed"):
        late.result(WAIT)
    assert results(harness.queue.submit(["next"]).result(WAIT)) == ["NEXT"]
    assert model.finished == [["next"]]


def test_closing_without_a_drain_ends_the_running_batch(model: LayeredModel) -> None:
    harness, begun, go_on = model.harness, threading.Event(), threading.Event()

    def wait(layer: int) -> None:
        if layer == 0:
            begun.set()
            assert go_on.wait(WAIT)

    model.between = wait
    future = harness.queue.submit(["bulk"], lane=Lane.BULK)
    assert begun.wait(WAIT)
    assert not harness.queue.close(drain=False, timeout=0)
    go_on.set()
    assert harness.queue.close(drain=False, timeout=WAIT)
    with pytest.raises(Draining):
        future.result(WAIT)
    assert model.finished == []
