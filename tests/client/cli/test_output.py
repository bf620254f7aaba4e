"""Results in files: each text once, whatever ends a run; and what is refused."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import pytest

from model_cache.explanations import hint_line
from tests.client.cli.test_main import SOURCES, run_client, run_program
from tests.client.cli.test_writer import LINES, running
from tests.support.fake_worker import FakeWorker

COUNT: Final = 1_000


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Write a file of 1,000 texts."""
    path = tmp_path / "texts.txt"
    path.write_bytes(LINES)
    return path


def ids(file: Path) -> list[str]:
    """Return the ids of the records of a file."""
    return [json.loads(line)["id"] for line in file.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    "command", [["sentiment"], ["entities"], ["syntax"], ["embed"], ["analyze"], ["syntax", "--stream"]]
)
def test_records_have_text_source_models_and_options(
    worker: FakeWorker, texts: Path, tmp_path: Path, command: list[str]
) -> None:
    output = tmp_path / "r.jsonl"
    answer = run_client(worker, *command, str(texts), "-o", str(output))
    assert (answer.returncode, answer.stdout) == (0, b""), answer.stderr
    assert answer.stderr.decode() == f"qda-client: {output} has 1,000 results\n"
    assert ids(output) == [str(number + 1) for number in range(COUNT)]
    record = json.loads(output.read_text("utf-8").splitlines()[0])
    assert (record["text"], record["source"]) == ("gut 0", str(texts))
    assert record["options"]["command"] == command[0]
    assert "c0ffee" in json.dumps(record["provenance"])


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (["sentiment"], signal.SIGKILL),
        (["sentiment"], signal.SIGINT),
        (["analyze"], signal.SIGKILL),
        (["entities", "--format", "csv"], signal.SIGKILL),
    ],
)
def test_each_text_has_one_result_after_kills(
    worker: FakeWorker, texts: Path, tmp_path: Path, command: list[str], number: signal.Signals
) -> None:
    output, whole = tmp_path / "r", tmp_path / "whole"
    extra = [] if "--format" in command else ["--format", "jsonl"]
    worker.on_request = lambda *_: time.sleep(0.02)
    for size in (20_000, 80_000):
        with running(worker, *command, *extra, str(texts), "--resume", str(output)) as program:
            while program.poll() is None and (not output.exists() or output.stat().st_size < size):
                threading.Event().wait(0.01)
            program.send_signal(number)
            assert program.wait(30) in (-number, 128 + number, 0)
    with output.open("ab") as file:
        file.write(b'{"id": "half')
    worker.on_request = None
    answer = run_client(worker, *command, *extra, str(texts), "--resume", str(output))
    assert answer.returncode == 0, answer.stderr
    assert run_client(worker, *command, *extra, str(texts), "-o", str(whole)).returncode == 0
    assert sorted(output.read_bytes().splitlines()) == sorted(whole.read_bytes().splitlines())
    again = run_client(worker, *command, *extra, str(texts), "--resume", str(output))
    assert (again.returncode, b"has 1,000 results" in again.stderr) == (0, True), again.stderr


def test_a_worker_that_is_replaced_loses_and_repeats_nothing(
    worker: FakeWorker, texts: Path, tmp_path: Path
) -> None:
    worker.stream_breaks = [100, 1, 250]
    output = tmp_path / "r.jsonl"
    assert run_client(worker, "analyze", str(texts), "-o", str(output)).returncode == 0
    assert ids(output) == [str(number + 1) for number in range(COUNT)]


def test_a_failed_call_tells_how_to_continue(worker: FakeWorker, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.jsonl"

    def fail_third(request: Any, context: object) -> None:
        if any(text.content == "gut 250" for text in request.texts):
            raise ValueError

    worker.on_request = fail_third
    answer = run_client(worker, "sentiment", str(texts), "-o", str(output), "--timeout", "2s")
    assert answer.returncode not in (0, 1)
    message, hint = answer.stderr.decode().splitlines(keepends=True)
    assert message.startswith("qda-client: INTERNAL: ")
    assert re.search(
        rf"\. Remedy: .*[^.]\. {output} has [\d,]+ results; --resume {output} continues\.\n$", message
    )
    assert hint == hint_line("INTERNAL")
    worker.on_request = None
    assert run_client(worker, "sentiment", str(texts), "--resume", str(output)).returncode == 0
    assert sorted(map(int, ids(output))) == list(range(1, COUNT + 1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "{there}"], "there.jsonl exists"),
        (["-o", "{folder}/no/r.jsonl"], "cannot be written"),
        (["-o", "{folder}/r.txt"], "format of"),
        (["-o", "{folder}/r.jsonl", "--format", "json"], "format of"),
        (["--format", "xlsx"], "xlsx is written to a file"),
        (["--resume", "{there}", "--overwrite"], "--overwrite"),
        (["-o", "{folder}/r.csv", "--delimiter", "ab"], "--delimiter"),
        (["{there}", "-o", "{there}", "--overwrite"], "is the input, too"),
        (["--resume", "{other}"], "line 1: found no result"),
    ],
)
def test_wrong_output_is_one_line_and_reads_no_input(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    there, other = tmp_path / "there.jsonl", tmp_path / "other.jsonl"
    there.write_text("")
    other.write_text("{}\n{}\n")
    filled = [each.format(there=there, other=other, folder=tmp_path) for each in arguments]
    answer = run_program(["sentiment", *filled], stdin=b"gut\n", environment={"QDA_TARGET": "127.0.0.1:1"})
    message = answer.stderr.decode()
    assert answer.returncode == 2, message
    assert words in message
    assert "Remedy: " in message
    assert message.count("\n") == 1


def test_no_file_is_left_if_no_worker_answers(tmp_path: Path) -> None:
    output = tmp_path / "r.jsonl"
    answer = run_program(
        ["sentiment", "-o", str(output)], stdin=b"gut\n", environment={"QDA_TARGET": "127.0.0.1:1"}
    )
    assert answer.returncode == 60
    assert not output.exists()


def test_a_file_stays_a_beginning_of_the_input_if_a_call_fails(worker: FakeWorker, tmp_path: Path) -> None:
    """Equal ids tell nothing about which text has a result, so a run must leave no gap."""
    texts, output = tmp_path / "texts.jsonl", tmp_path / "r.jsonl"
    contents = [f"gut {number}" for number in range(500)]
    texts.write_text("".join(json.dumps({"id": "same", "text": each}) + "\n" for each in contents))

    def fail_second(request: Any, context: object) -> None:
        if any(text.content == "gut 150" for text in request.texts):
            threading.Event().wait(0.3)  # so that the later requests are answered before
            raise ValueError

    def written() -> list[str]:
        return [json.loads(line)["text"] for line in output.read_text("utf-8").splitlines()]

    worker.on_request = fail_second
    command = ["sentiment", str(texts), "--resume", str(output), "--timeout", "2s"]
    assert run_client(worker, *command).returncode not in (0, 1)
    assert written() == contents[: len(written())]
    worker.on_request = None
    assert run_client(worker, *command).returncode == 0
    assert written() == contents


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_an_output_in_the_folder_of_the_input_is_not_read(
    worker: FakeWorker, tmp_path: Path, form: str
) -> None:
    pytest.importorskip("openpyxl")
    (tmp_path / "a.txt").write_text("gut\n")
    output = tmp_path / f"r.{form}"
    for extra in ([], ["--overwrite"], ["--overwrite"]):
        answer = run_client(worker, "sentiment", str(tmp_path), "-o", str(output), *extra)
        assert answer.returncode == 0, answer.stderr
        assert answer.stderr.decode() == f"qda-client: {output} has 1 results\n"


def test_a_file_of_the_input_folder_to_which_stdout_leads_is_not_read(
    worker: FakeWorker, tmp_path: Path
) -> None:
    """As in `qda-client sentiment folder --format jsonl > folder/results.jsonl 2> folder/log.txt`."""
    (tmp_path / "a.txt").write_text("gut\n")
    for _ in range(2):
        with (tmp_path / "results.jsonl").open("ab") as output, (tmp_path / "log.txt").open("ab") as log:
            output.write(b'{"id": "x", "text": "from before"}\n')
            log.write(b"from before\n")
            output.flush()
            log.flush()
            command = ["sentiment", str(tmp_path), "--format", "jsonl", "--target", worker.target]
            program = [sys.executable, "-m", "qda_worker.client.cli.main", *command]
            assert subprocess.run(program, stdout=output, stderr=log, check=False).returncode == 0
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text("utf-8").splitlines()]
    assert [each["id"] for each in results] == ["x", "1", "x", "1"]


def test_csv_on_stdout_is_that_of_a_file(worker: FakeWorker, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.csv"
    assert run_client(worker, "sentiment", str(texts), "-o", str(output)).returncode == 0
    answer = run_client(worker, "sentiment", str(texts), "--format", "csv")
    assert answer.stdout == output.read_bytes()


def test_syntax_is_written_as_conllu_and_as_tables(worker: FakeWorker, tmp_path: Path) -> None:
    source = tmp_path / "texts.txt"
    source.write_text("Na ja\nGut so\n", encoding="utf-8")
    written = run_client(worker, "syntax", "--format", "conllu", str(source)).stdout.decode()
    assert written.count("\n# sent_id = ") == 2
    assert "# text = Gut so\n1\tGut\tgut\tX\t_\t_\t0\troot\t_\tTokenRange=0:3\n2\tso\t" in written
    for name in ("r.conllu", "r.jsonl", "r.csv"):
        assert run_client(worker, "syntax", str(source), "-o", str(tmp_path / name)).returncode == 0
    assert (tmp_path / "r.conllu").read_text("utf-8") == written
    converted = tmp_path / "again.conllu"
    assert run_program(["convert", str(tmp_path / "r.jsonl"), "-o", str(converted)]).returncode == 0
    assert converted.read_text("utf-8") == written
    analysis = run_client(
        worker, "analyze", "--task", "syntax", "--task", "sentiment", "--format", "conllu", str(source)
    )
    assert analysis.stdout.decode() == written
    table = [line.split(";") for line in (tmp_path / "r.csv").read_text("utf-8-sig").splitlines()]
    place = table[0].index('"token"')
    assert [row[place] for row in table[1:]] == ['"Na"', '"ja"', '"Gut"', '"so"']
    refused = run_client(worker, "entities", str(source), "-o", str(tmp_path / "e.conllu"))
    assert refused.returncode == 2
    assert b"have no tokens" in refused.stderr


def test_tables_are_converted_from_records(worker: FakeWorker, texts: Path, tmp_path: Path) -> None:
    records, direct, converted = tmp_path / "r.jsonl", tmp_path / "a.csv", tmp_path / "b.csv"
    assert run_client(worker, "entities", str(texts), "-o", str(records)).returncode == 0
    assert run_client(worker, "entities", str(texts), "-o", str(direct)).returncode == 0
    assert run_program(["convert", str(records), "-o", str(converted)]).returncode == 0
    assert converted.read_bytes() == direct.read_bytes()
    cited = run_program(["cite", str(converted)])
    assert (cited.returncode, b"maker/model" in cited.stdout) == (0, True)


def test_progress_with_rate_and_remaining_time_is_on_a_terminal(
    worker: FakeWorker, texts: Path, tmp_path: Path
) -> None:
    worker.on_request = lambda *_: time.sleep(0.3)
    terminal, side = os.openpty()
    command = [sys.executable, "-m", "qda_worker.client.cli.main", "sentiment", str(texts)]
    with subprocess.Popen(
        [*command, "--target", worker.target, "-o", str(tmp_path / "r.jsonl")],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=side, env={"PYTHONPATH": SOURCES},
    ) as program:  # fmt: skip
        os.close(side)
        shown = b""
        try:
            while chunk := os.read(terminal, 65_536):
                shown += chunk
        except OSError:  # the program has ended
            pass
        assert program.wait(30) == 0
    os.close(terminal)
    assert b" of 1,000 texts (" in shown
    assert b"/s, " in shown
    assert b" left" in shown


def test_a_report_is_written_and_refused_if_it_exists(
    worker: FakeWorker, texts: Path, tmp_path: Path
) -> None:
    page = tmp_path / "r.html"
    answer = run_client(worker, "report", str(texts), "-o", str(page), "--lang", "en", "--title", "A & B")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.decode() == f"qda-client: {page} shows 1,000 statements\n"
    content = page.read_text("utf-8")
    assert "<h1>A &amp; B</h1>" in content
    assert content.count("<li id=") == COUNT
    assert run_client(worker, "report", str(texts), "-o", str(page)).returncode == 2
