"""What is on stdout when a command ends early: by Ctrl-C, SIGTERM, a failed call or broken input."""

import array
import fcntl
import json
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
import pytest

from model_cache.explanations import hint_line
from tests.client.cli.test_main import SOURCES, run_client
from tests.support.explained import explained
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import refuse

FORMS: Final = ["table", "json", "jsonl"]
COMMANDS: Final = [["sentiment"], ["entities"], ["embed"], ["embed", "--stream"], ["analyze"]]


@contextmanager
def running(
    worker: FakeWorker, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the program; its stdin stays open."""
    program = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "qda_worker.client.cli.main",
            arguments[0],
            "--target",
            worker.target,
            *arguments[1:],
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": SOURCES, "PYTHONUTF8": "1", **(environment or {})},
    )
    with program:
        try:
            yield program
        finally:
            program.kill()


def answered(form: str, output: bytes) -> tuple[int, dict[str, Any] | None]:
    """Return the number of results in an output, and the error in it."""
    if form == "table":
        return sum(b"gut" in line for line in output.splitlines()), None
    if form == "jsonl":
        rows = [json.loads(line) for line in output.splitlines()]
    else:
        document = json.loads(output)
        rows = document if isinstance(document, list) else [*document["results"], document["error"]]
    explained(rows)
    return len(rows) - 1, rows[-1]


class Stall:
    """A worker that answers the first two and the fourth of the requests of 100 texts, and no other."""

    def __init__(
        self, worker: FakeWorker, answered: Collection[str] = ("gut 0", "gut 100", "gut 300")
    ) -> None:
        self.reached = threading.Event()
        self._answered = answered
        self._released = threading.Event()
        worker.on_request = self._receive

    def release(self) -> None:
        self._released.set()

    def _receive(self, request: Any, context: grpc.ServicerContext) -> None:
        content = request.texts[0].content
        if content not in self._answered:
            # The last of the requests in progress: it is sent when the results of the first two have been written.
            if content == "gut 500" or not self._answered:
                self.reached.set()
            self._released.wait(30)


LINES: Final = b"".join(b"gut %d\n" % number for number in range(1_000))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_signal_leaves_every_answer_that_came(
    worker: FakeWorker, form: str, number: signal.Signals, code: int, name: str
) -> None:
    stall = Stall(worker)
    with running(worker, "sentiment", "--format", form) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdin.write(LINES)
        program.stdin.close()
        assert stall.reached.wait(30)
        threading.Event().wait(0.5)  # the answer to the fourth request must have arrived
        first = b"".join(program.stdout.readline() for _ in range(200)) if form != "json" else b""
        program.send_signal(number)
        output = first + program.stdout.read()
        message = program.stderr.read().decode()
        assert program.wait(30) == code
    stall.release()
    count, error = answered(form, output)
    assert count == 300
    assert (
        f"qda-client: INTERRUPTED: stopped by {name}; 300 of 1,000 texts were answered and written" in message
    )
    assert "goes on" not in message
    assert "continues" not in message
    assert error is None or error["reason"] == "INTERRUPTED"


@pytest.mark.parametrize("form", FORMS)
def test_a_signal_before_any_answer_says_so(worker: FakeWorker, form: str) -> None:
    stall = Stall(worker, answered=())
    with running(worker, "entities", "--format", form) as program:
        assert program.stdin is not None
        program.stdin.write(b"gut")
        program.stdin.close()
        assert stall.reached.wait(30)
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 130
        assert program.stdout is not None
        assert program.stderr is not None
        message = program.stderr.read().decode()
        output = program.stdout.read()
    stall.release()
    assert message.startswith(
        "qda-client: INTERRUPTED: stopped by SIGINT; no result was written. Remedy: run the"
    )
    assert form == "table" or json.loads(output)["reason"] == "INTERRUPTED"


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_of_documents_ends_as_one_document_after_a_signal(worker: FakeWorker, form: str) -> None:
    """Each result is there before the next document is, and Ctrl-C while stdin is waited for completes the output."""
    with running(worker, "analyze", "--format", form, "--task", "entities") as program:
        assert program.stdin is not None
        assert program.stdout is not None
        output = b""
        for _ in range(3):
            program.stdin.write(b"gut Anna\n")
            program.stdin.flush()
            output += program.stdout.readline()
        program.send_signal(signal.SIGINT)
        output += program.stdout.read()
        assert program.wait(30) == 130
        assert program.stderr is not None
        assert "3 texts were answered and written" in program.stderr.read().decode()
    if form == "table":
        assert output.count(b"Anna") == 3
    else:
        assert answered(form, output)[0] == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_output_is_complete_if_the_call_fails(worker: FakeWorker, form: str, command: list[str]) -> None:
    """A list fails at its second request; a stream breaks off, and its continuation fails."""
    stream = command[-1] in ("--stream", "analyze")
    fail = refuse(grpc.StatusCode.INTERNAL, "MODEL_FAILED")

    def fail_second(request: Any, context: grpc.ServicerContext) -> None:
        if request.texts[0].content == "gut 100":
            fail(context)

    if stream:
        worker.stream_breaks, worker.faults = [100], [lambda _: None, fail]
    else:
        worker.on_request = fail_second
    answer = run_client(worker, *command, "--format", form, stdin=LINES[:1_692])
    assert answer.returncode == 50, answer.stderr
    assert b"MODEL_FAILED" in answer.stderr
    if form != "table":
        count, error = answered(form, answer.stdout)
        assert error is not None
        assert error["reason"] == "MODEL_FAILED"
        assert (
            count == 100 if stream else count in (100, 126)
        )  # the third request may have been answered before


@pytest.mark.parametrize("form", FORMS)
def test_the_output_of_a_stream_is_complete_if_the_input_is_broken(worker: FakeWorker, form: str) -> None:
    answer = run_client(worker, "analyze", "--format", form, stdin=b"gut\n" * 20 + b"sch\xf6n\n")
    assert answer.returncode == 2
    assert b"line 21 is 0xf6" in answer.stderr
    if form != "table":
        count, error = answered(form, answer.stdout)
        assert error is not None
        assert (count, error["reason"]) == (20, "USAGE")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", [*COMMANDS, ["paraphrases"]], ids=" ".join)
def test_lines_with_an_error_are_rows_of_the_output(
    worker: FakeWorker, form: str, command: list[str]
) -> None:
    lines = b'{"id": "a", "text": "gut"}\n{"id": "b", "text": null}\n{"te\n"\\ud83d"\n"gut"\n'
    answer = run_client(worker, *command, "--input", "jsonl", "--format", form, stdin=lines)
    assert answer.returncode == 1, answer.stderr
    output = answer.stdout.decode()
    for words in (
        "TEXT_EMPTY",
        "line 2: the text is missing",
        "ARGUMENT_INVALID",
        "line 3: found no JSON",
        "TEXT_NOT_UTF8",
    ):
        assert words in output
    for line in output.splitlines() if form == "jsonl" else [output] if form == "json" else []:
        explained(json.loads(line))


def test_a_table_is_aligned_over_several_requests(worker: FakeWorker) -> None:
    lines = b"\n".join(b'{"id": "%s", "text": "gut"}' % (b"x" * (number // 50)) for number in range(50, 250))
    table = run_client(worker, "sentiment", "--input", "jsonl", stdin=lines).stdout.decode().splitlines()
    first, second = table[1:101], table[101:201]
    assert (
        len({line.index("neutral") for line in first}) == len({line.index("neutral") for line in second}) == 1
    )
    assert table[0].startswith("ID")
    assert table[-1].startswith("200 texts.")


def wait_until_full(pipe: int) -> None:
    """Wait until a program that writes to a pipe waits for its reader."""
    unread = array.array("i", [0])
    before = -1
    for _ in range(200):
        fcntl.ioctl(pipe, termios.FIONREAD, unread)
        if unread[0] == before > 40_000:
            return
        before = unread[0]
        threading.Event().wait(0.2)
    raise AssertionError(f"the pipe holds {before} bytes")


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_reader_is_slow_tears_no_line(
    worker: FakeWorker, form: str, number: signal.Signals, environment: dict[str, str]
) -> None:
    with running(worker, "sentiment", "--format", form, environment=environment) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdin.write(
            LINES.replace(b"\n", b" aber" * 12 + b"\n")
        )  # more than a pipe holds in each format
        program.stdin.close()
        wait_until_full(program.stdout.fileno())
        program.send_signal(number)
        threading.Event().wait(0.3)  # the signal interrupts the program's write
        output = program.stdout.read()
        message = program.stderr.read().decode()
        assert program.wait(30) in (130, 143)
    count, _ = (
        (sum(b"neutral" in line for line in output.splitlines()), None)
        if form == "table"
        else (len(json.loads(output)["results"]) if form == "json" else answered(form, output)[0], None)
    )
    assert count > 0
    assert f"{count:,} of 1,000 texts were answered and written" in message


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", [["sentiment"], ["analyze"], ["paraphrases"], ["models"]], ids=" ".join)
def test_a_full_disk_is_one_message_and_its_exit_code(
    worker: FakeWorker, form: str, command: list[str]
) -> None:
    with open("/dev/full", "wb") as full:
        program = subprocess.run(
            [sys.executable, "-m", "qda_worker.client.cli.main", *command, "--target", worker.target, "--format", form],
            input=LINES[:1_000], stdout=full, stderr=subprocess.PIPE, env={"PYTHONPATH": SOURCES}, timeout=60,
            check=False,
        )  # fmt: skip
    assert program.returncode == 30
    assert b"No space left on device" in program.stderr
    assert program.stderr.removesuffix(hint_line("NO_SPACE").encode()).count(b"\n") == 1


@pytest.mark.parametrize("command", [["sentiment"], ["analyze"], ["embed", "--stream", "--format", "jsonl"]])
def test_no_text_is_refused_by_every_command(worker: FakeWorker, command: list[str]) -> None:
    answer = run_client(worker, *command, stdin=b"\n \n")
    assert answer.returncode == 2
    assert b"there is no text in -" in answer.stderr
