"""What a model's failure leaves in the log: which error and where, never what it says, for that may quote the text."""

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from qda_worker.observability.logs import open_log
from qda_worker.scheduling.jobs import Failure
from qda_worker.scheduling.queue import ModelQueue
from tests.support.echo_model import EchoModel

MARK: Final = "Zyankalirose"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Everything that is logged, at level debug; the loggers are as before afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("qda_worker")
    before = (root.handlers[:], root.level, ours.level)
    stream = io.StringIO()
    open_log(logging.DEBUG, stream)
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.mark.parametrize(
    ("sign", "error", "place"),
    [
        ("?", "ValueError", "in prepare"),
        ("!", "ArithmeticError", "in compute"),
        ("#", "ValueError", "in finish"),
    ],
)
def test_an_exception_inside_a_model_is_logged_without_its_message(
    stream: io.StringIO, sign: str, error: str, place: str
) -> None:
    model = EchoModel()
    with ThreadPoolExecutor(1) as pool:
        queue: ModelQueue[Any, Any, Any] = ModelQueue(model, pool)
        (outcome,) = queue.submit([f"{MARK}{sign}"]).result(30)
        queue.close(drain=True, timeout=30)
    assert isinstance(outcome, Failure)
    assert MARK not in str(outcome.error)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines if line["level"] == "error"] == [
        f"model echo raised {error} for a text"
    ]
    assert any(place in line["event"] for line in lines if line["level"] == "debug"), "and where"
    assert MARK not in stream.getvalue()


def test_an_error_that_a_library_logs_is_its_type_and_trace(stream: io.StringIO) -> None:
    try:
        raise ValueError(MARK)
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (line["event"], line["error"], line["logger"]) == ("it failed", "ValueError", "some.library")
    assert "test_logs.py" in line["trace"]
    assert MARK not in stream.getvalue()


def test_a_library_that_chats_is_not_heard(stream: io.StringIO) -> None:
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("qda_worker.some.module").debug("said")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["said"]
