"""The progress on stderr."""

from io import BytesIO, StringIO

from qda_worker.client.cli.terminal import Terminal


def test_stream_progress_is_shown_if_results_are_not_on_the_terminal() -> None:
    shown = StringIO()
    terminal = Terminal(BytesIO(), StringIO(), shown, progress=True)
    for done in range(1, 250):
        terminal.show_count(done)
    terminal.show_count(0, ended=True)
    assert shown.getvalue() == "\r100 texts\r200 texts\r\x1b[K"
    quiet = StringIO()
    Terminal(BytesIO(), StringIO(), quiet, progress=False).show_count(100)
    assert quiet.getvalue() == ""
