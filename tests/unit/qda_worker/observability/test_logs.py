"""The log of a model failure: the type of the error and its trace, but no message, because it may quote the text."""

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from qda_worker.cpu import CpuBudget, ThreadSource
from qda_worker.observability.logs import configure_logging, log_cpu_budget
from qda_worker.scheduling.jobs import Failure
from qda_worker.scheduling.queue import ModelQueue
from tests.support.echo_model import EchoModel

MARK: Final = "Zyankalirose"


class Pieces(io.StringIO):
    """A stream that keeps each piece that is written in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str, /) -> int:
        self.pieces.append(text)
        return super().write(text)


@pytest.fixture
def stream() -> Iterator[Pieces]:
    """Capture the log at level debug, and restore the loggers afterwards."""
    root, worker = logging.getLogger(), logging.getLogger("qda_worker")
    before = (root.handlers[:], root.level, worker.level)
    stream = Pieces()
    configure_logging(logging.DEBUG, stream)
    yield stream
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    worker.setLevel(before[2])


@pytest.mark.parametrize(
    ("cpu", "warning"),
    [
        (CpuBudget(1, ThreadSource.QUOTA, 8, quota=0.5), "the CPU limit of 0.5 is below"),
        (CpuBudget(4, ThreadSource.OPTION, 8, quota=2.0), "the CPU limit of 2 is below"),
        (CpuBudget(2, ThreadSource.QUOTA, 8, quota=2.5), None),
        (CpuBudget(8, ThreadSource.AFFINITY, 8), None),
    ],
)
def test_the_number_of_threads_is_logged_and_a_warning_if_they_are_throttled(
    stream: Pieces, cpu: CpuBudget, warning: str | None
) -> None:
    log_cpu_budget(configure_logging(logging.INFO, stream), cpu)
    number, *warnings = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (number["event"], number["threads"], number["source"]) == ("threads.set", cpu.threads, cpu.source)
    assert (number["cpu_quota"], number["affinity"]) == (cpu.quota, cpu.affinity)
    assert len(warnings) == (warning is not None)
    for line in warnings:
        assert line["detail"].startswith(str(warning))
        assert "LimitRange" in line["remedy"]


@pytest.mark.parametrize(
    ("character", "error", "location"),
    [
        ("?", "ValueError", "in prepare"),
        ("!", "ArithmeticError", "in compute"),
        ("#", "ValueError", "in finish"),
    ],
)
def test_an_exception_inside_a_model_is_logged_without_its_message(
    stream: io.StringIO, character: str, error: str, location: str
) -> None:
    model = EchoModel()
    with ThreadPoolExecutor(1) as pool:
        queue: ModelQueue[Any, Any, Any] = ModelQueue(model, pool)
        (outcome,) = queue.submit([f"{MARK}{character}"]).result(30)
        queue.close(drain=True, timeout=30)
    assert isinstance(outcome, Failure)
    assert MARK not in str(outcome.error)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines if line["level"] == "error"] == [
        f"model echo raised {error} for a text"
    ]
    assert any(location in line["event"] for line in lines if line["level"] == "debug"), "the location"
    assert MARK not in stream.getvalue()


def test_an_error_logged_by_a_library_is_reduced_to_type_and_trace(stream: io.StringIO) -> None:
    try:
        raise ValueError(MARK)
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (line["event"], line["error"], line["logger"]) == ("it failed", "ValueError", "some.library")
    assert "test_logs.py" in line["trace"]
    assert MARK not in stream.getvalue()


def test_info_records_of_libraries_are_dropped(stream: io.StringIO) -> None:
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("qda_worker.some.module").debug("ours")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["ours"]


def test_each_line_is_written_at_once(stream: Pieces) -> None:
    """Otherwise the line of another thread could come before the newline, and both would be no JSON."""
    configure_logging(logging.DEBUG, stream).info("one.event", number=1)
    logging.getLogger("qda_worker").info("a record")
    assert [json.loads(piece)["event"] for piece in stream.pieces] == ["one.event", "a record"]
    assert all(piece.endswith("\n") for piece in stream.pieces)
