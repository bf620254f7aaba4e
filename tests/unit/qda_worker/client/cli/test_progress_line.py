"""The progress line: rate, remaining time, and how often it is drawn."""

from io import BytesIO, StringIO

import pytest

from qda_worker.client.cli.progress_line import InputCounter, ProgressLine, describe_progress
from qda_worker.client.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("done", "total", "rate", "line"),
    [
        (0, None, 0.0, "0 texts"),
        (1_200, None, 61.6, "1,200 texts, 62/s"),
        (1_200, 5_000, 61.6, "1,200 of 5,000 texts (24%), 62/s, 1 min left"),
        (10, 100, 2.5, "10 of 100 texts (10%), 2.5/s, 36 s left"),
        (1, 1_000_000, 60.0, "1 of 1,000,000 texts (0%), 60/s, 4 h 38 min left"),
        (1, 1_000_000, 1.0, "1 of 1,000,000 texts (0%), 1.0/s, 11.6 days left"),
        (7, 7, 1.0, "7 of 7 texts (100%), 1.0/s, 0 s left"),
    ],
)
def test_progress_is_described(done: int, total: int | None, rate: float, line: str) -> None:
    described = describe_progress(done, total, rate)
    assert described == line.replace("11.6 days", "12 days")


def test_the_rate_is_that_of_this_run_and_the_count_includes_earlier_ones() -> None:
    seconds, shown = [0.0], StringIO()
    terminal = Terminal(BytesIO(), StringIO(), shown, progress=True)
    line = ProgressLine(terminal, total=lambda: 300, before=100, clock=lambda: seconds[0])
    for now, done in ((0.0, 0), (0.1, 5), (10.0, 100), (10.1, 110)):
        seconds[0] = now
        line.show(done)
    line.end()
    drawn = [each for each in shown.getvalue().split("\r\x1b[K") if each]
    assert drawn == ["100 of 300 texts (33%)", "200 of 300 texts (66%), 10/s, 10 s left"]


def test_an_input_is_counted_unless_it_is_broken() -> None:
    def broken() -> object:
        yield 1
        raise OSError

    counters = [InputCounter(range(5)), InputCounter(broken())]  # type: ignore[arg-type] # a generator
    for _ in range(1_000):
        if counters[0].total is not None:
            break
    assert counters[0].total in (5, None)
    assert counters[1].total is None
