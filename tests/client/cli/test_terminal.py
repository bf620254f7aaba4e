"""The streams of the program."""

from io import BytesIO, StringIO

from qda_worker.client.cli.terminal import Terminal


def test_progress_is_drawn_over_the_former_one() -> None:
    shown = StringIO()
    terminal = Terminal(BytesIO(), StringIO(), shown, progress=True)
    terminal.draw("1 texts")
    terminal.draw("")
    assert shown.getvalue() == "\r\x1b[K1 texts\r\x1b[K"
    quiet = StringIO()
    Terminal(BytesIO(), StringIO(), quiet, progress=False).draw("1 texts")
    assert quiet.getvalue() == ""
