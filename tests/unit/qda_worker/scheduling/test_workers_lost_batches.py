"""A batch that the model's process does not survive costs at most the text that ends it again."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future

import pytest

from qda_worker.errors import BatchLost
from qda_worker.models.base import LongText, Options, Unit
from qda_worker.models.pauses import pause_point
from qda_worker.scheduling.jobs import Failure, Lane, Outcome
from tests.support.echo_model import MAX_LENGTH, EchoModel
from tests.support.queue_harness import WAIT, QueueHarness, results


class FragileModel(EchoModel):
    """Loses a batch for each "&" in it that it meets for the first time, and every batch with a "§".

    Attributes:
        outside_kills: how many more batches it loses because its process is killed from outside.
        between: called in the middle of each batch, before a pause point.
    """

    def __init__(self) -> None:
        super().__init__()
        self.survived: set[str] = set()
        self.outside_kills = 0
        self.between: Callable[[], None] = lambda: None

    def compute(self, units: Sequence[Unit[str]]) -> list[str]:
        outputs = super().compute(units)
        self.between()
        pause_point()
        if self.outside_kills:
            self.outside_kills -= 1
            raise BatchLost("its process ended by signal 9", from_outside=True)
        fatal = [unit.payload for unit in units if "&" in unit.payload and unit.payload not in self.survived]
        self.survived.update(fatal)
        if fatal or any("§" in unit.payload for unit in units):
            raise BatchLost("its process ended by signal 11")
        return outputs


@pytest.fixture
def model() -> FragileModel:
    return FragileModel()


@pytest.fixture
def fragile(pool: Executor, model: FragileModel) -> Iterator[QueueHarness]:
    harness = QueueHarness(pool, model)
    yield harness
    model.gate.set()
    harness.queue.close(drain=False, timeout=WAIT)


def test_the_text_that_ends_the_process_twice_fails_alone(fragile: QueueHarness) -> None:
    fragile.block_compute_thread()
    answers = [fragile.queue.submit([text], caller=text) for text in ("a", "b", "§", "c", "d&", "e")]
    fragile.wait_for_tokenizer()
    fragile.model.gate.set()
    outcomes = [answer.result(WAIT)[0] for answer in answers]
    assert results(outcomes) == ["A", "B", "MODEL_FAILED", "C", "D&", "E"]
    assert fragile.queue.healthy
    assert fragile.failures == []


@pytest.mark.parametrize(("text", "expected"), [("x&", ["X&"]), ("x§", ["MODEL_FAILED"])])
def test_a_text_alone_in_its_batch_is_tried_again_once(
    fragile: QueueHarness, text: str, expected: list[str]
) -> None:
    assert results(fragile.queue.submit([text]).result(WAIT)) == expected
    assert fragile.model.batches == [[text]] * 2


@pytest.mark.parametrize(("kills", "expected"), [(2, ["A", "B"]), (3, ["MODEL_FAILED", "B"])])
def test_a_process_killed_twice_from_outside_costs_no_text(
    fragile: QueueHarness, model: FragileModel, kills: int, expected: list[str]
) -> None:
    fragile.block_compute_thread()
    answer = fragile.queue.submit(["a", "b"])
    fragile.wait_for_tokenizer()
    model.between = lambda: setattr(model, "outside_kills", kills) if len(model.batches) == 2 else None
    fragile.model.gate.set()
    assert results(answer.result(WAIT)) == expected


def test_several_fatal_texts_fail_and_nobody_else(fragile: QueueHarness) -> None:
    texts = ["a", "§1", "b", "§2", "§3", "c!", "d"]
    fragile.block_compute_thread()
    answer = fragile.queue.submit(texts)
    fragile.wait_for_tokenizer()
    fragile.model.gate.set()
    failed = "MODEL_FAILED"
    assert results(answer.result(WAIT)) == ["A", failed, "B", failed, failed, failed, "D"]


def test_a_fatal_window_fails_its_text_and_the_others_go_on(fragile: QueueHarness) -> None:
    long = "x" * MAX_LENGTH * 6 + "§" + "y" * MAX_LENGTH * 6
    outcomes = fragile.queue.submit(["a", long, "b"], Options(LongText.WINDOW)).result(WAIT)
    assert results(outcomes) == ["A", "MODEL_FAILED", "B"]
    assert isinstance(outcomes[1], Failure)
    assert "ended 2 times while it computed this text: its process ended by signal 11" in str(
        outcomes[1].error
    )


def test_a_lost_text_whose_caller_has_gone_is_not_tried_again(
    fragile: QueueHarness, model: FragileModel
) -> None:
    fragile.block_compute_thread()
    gone, kept = fragile.queue.submit(["a§"]), fragile.queue.submit(["b"])
    fragile.wait_for_tokenizer()

    def cancel() -> None:
        if len(model.batches) == 2:
            gone.cancel()

    model.between = cancel
    fragile.model.gate.set()
    assert results(kept.result(WAIT)) == ["B"]
    assert sorted(map(sorted, fragile.model.batches)) == [["a§", "b"], ["b"], ["busy"]]


def test_an_interrupting_batch_that_is_lost_leaves_the_interrupted_one(
    fragile: QueueHarness, model: FragileModel
) -> None:
    clicks: list[Future[list[Outcome[str]]]] = []

    def click() -> None:
        fragile.now += 1.0
        if not clicks:
            clicks.append(fragile.queue.submit(["click§"]))
            fragile.wait_for_tokenizer()

    model.between = click
    assert results(fragile.queue.submit(["bulk"], lane=Lane.BULK).result(WAIT)) == ["BULK"]
    assert results(clicks[0].result(WAIT)) == ["MODEL_FAILED"]


def test_the_progress_of_a_batch_counts_from_its_last_pause_point(
    fragile: QueueHarness, model: FragileModel
) -> None:
    seen = []

    def look() -> None:
        progress = fragile.queue.batch_progress()
        assert progress is not None
        seen.append((progress.seconds, progress.length))
        fragile.now += 5
        pause_point()
        fragile.now += 2
        progress = fragile.queue.batch_progress()
        assert progress is not None
        seen.append((progress.seconds, progress.length))

    model.between = look
    assert fragile.queue.batch_progress() is None
    fragile.queue.submit(["busy"]).result(WAIT)
    assert fragile.queue.close(drain=True, timeout=WAIT)
    assert seen == [(0, 4), (2, 4)]
    assert fragile.queue.batch_progress() is None


def test_the_batch_that_was_interrupted_is_the_running_one_again(
    fragile: QueueHarness, model: FragileModel
) -> None:
    lengths = []

    def click() -> None:
        fragile.now += 1.0
        if model.batches == [["bulk"]]:
            fragile.queue.submit(["click"])
            fragile.wait_for_tokenizer()
            pause_point()
        progress = fragile.queue.batch_progress()
        assert progress is not None
        lengths.append(progress.length)

    model.between = click
    fragile.queue.submit(["bulk"], lane=Lane.BULK).result(WAIT)
    assert lengths == [len("click"), len("bulk")]
