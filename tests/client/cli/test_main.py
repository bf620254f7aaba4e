"""`qda-client` as a program: input, output, exit codes, wrong usage."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import grpc
import pytest

import qda_worker
from model_cache.explanations import explanation_hint, hint_line
from qda_worker.client import (
    EmbeddingKind,
)
from tests.support.explained import explained
from tests.support.fake_worker import FakeWorker
from tests.support.grpc_faults import refuse

SOURCES: Final = str(Path(qda_worker.__file__).parents[1])
ALL: Final = (EmbeddingKind.DENSE, EmbeddingKind.SPARSE, EmbeddingKind.MULTI_VECTOR)


def run_program(
    arguments: Sequence[str], *, stdin: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the program in its own process."""
    return subprocess.run(
        [sys.executable, "-m", "qda_worker.client.cli.main", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        env={"PYTHONPATH": SOURCES, "PYTHONUTF8": "1", **(environment or {})},
    )


def run_client(worker: FakeWorker, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return run_program([arguments[0], "--target", worker.target, *arguments[1:]], stdin=stdin)


def test_each_line_is_a_text_and_its_number_is_the_id(worker: FakeWorker) -> None:
    answer = run_client(worker, "sentiment", stdin="Schön :)\r\n\n   \nNun ja.".encode())
    assert answer.returncode == 0, answer.stderr
    assert [text.content for text in worker.calls[0].request.texts] == ["Schön :)", "Nun ja."]
    table = answer.stdout.decode().splitlines()
    assert table[0].split() == ["ID", "SENTIMENT", "POSITIVE", "NEGATIVE", "NEUTRAL", "TEXT"]
    assert table[1].split() == ["1", "positive", "0.750", "0.000", "0.250", "Schön", ":)"]
    assert table[2].split()[0] == "4"
    assert "german-sentiment (maker/model@c0ffee, fp32), worker fake" in table[-1]


@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_sentences_are_shown_with_position_and_text(worker: FakeWorker, form: str) -> None:
    answer = run_client(worker, "sentiment", "--sentences", "--format", form, stdin=b"a b c d e f g h i :)")
    assert answer.returncode == 0, answer.stderr
    request = worker.calls[0].request
    assert (request.include_sentences, request.offset_encoding) == (True, 3)
    if form == "table":
        row = answer.stdout.decode().splitlines()[2]
        assert row.split()[:2] == ["1[0:20]", "positive"]
        assert row.endswith("a b c d e f g h i :) (cut: 8 of 10 tokens)")
        return
    found = json.loads(answer.stdout)
    [sentence] = (found["results"][0] if form == "json" else found)["sentences"]
    assert (sentence["start"], sentence["end"], sentence["label"]) == (0, 20, "positive")
    assert sentence["usage"]["used_tokens"] == 8


def test_a_whole_file_can_be_one_text(worker: FakeWorker, tmp_path: Path) -> None:
    file = tmp_path / "interview.txt"
    file.write_bytes("\ufeffEins\nZwei".encode())
    assert run_client(worker, "entities", str(file), "--whole").returncode == 0
    [text] = worker.calls[0].request.texts
    assert (text.content, text.id) == ("Eins\nZwei", "interview.txt")


def test_files_and_folders_are_read_together(worker: FakeWorker, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.txt").write_text("I: Wie?\nB: Gut :)\nI: So.\n", encoding="utf-8")
    (tmp_path / "b" / "10.csv").write_text("id;text\nx;Schön\ny;\n", encoding="cp1252")
    (tmp_path / "b" / "ton.mp3").write_bytes(b"ID3")
    (tmp_path / "a.txt").write_text("Na ja.\n", encoding="utf-8")
    answer = run_client(
        worker, "sentiment", str(tmp_path / "a.txt"), str(tmp_path / "b"), "--format", "jsonl"
    )
    assert answer.returncode == 1, answer.stderr
    results = [json.loads(line) for line in answer.stdout.splitlines()]
    names = [result["id"].removeprefix(f"{tmp_path}/") for result in results]
    assert names == ["a.txt#1", "b/2.txt#1", "b/2.txt#2", "b/2.txt#3", "b/10.csv#x", "b/10.csv#y"]
    assert results[5]["error"]["reason"] == "TEXT_EMPTY"
    sent = [text.content for text in worker.calls[0].request.texts]
    assert sent[:5] == ["Na ja.", "Wie?", "Gut :)", "So.", "Schön"]
    told = answer.stderr.decode().splitlines()
    assert len(told) == 3
    assert "ton.mp3" in told[0]
    assert "windows-1252" in told[1]
    assert "10.csv, row 3: the text is missing" in told[2]


def test_transcripts_of_programs_are_read_with_what_is_wrong_in_them(
    worker: FakeWorker, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(
        '{"segments": [{"start": 0.5, "end": 1, "text": " Guten Tag.", "speaker": "SPEAKER_01"}, {"text": 5},'
        ' {"start": -1, "end": 2, "text": " Ja.", "speaker": "SPEAKER_01"}]}'
    )
    (tmp_path / "b.otr").write_text(
        '{"text": "<p>I: Gut?</p><p>B: Sehr.</p><p>I: Aha.</p>", "media": "b.mp3"}'
    )
    (tmp_path / "settings.json").write_text('{"font": 12}')
    answer = run_client(worker, "sentiment", str(tmp_path), "--format", "jsonl")
    assert answer.returncode == 1, answer.stderr
    said = answer.stderr.decode()
    assert "1 file of an unknown type is left out" in said
    assert "settings.json" in said
    assert 'a.json, segment 2: "text" is no string' in said
    assert "segment 3: start is -1, which is no time; it is left out" in said
    texts = [text.content for call in worker.calls for text in call.request.texts]
    assert texts == ["Guten Tag. Ja.", "", "Gut?", "Sehr.", "Aha."]
    found = [json.loads(line) for line in answer.stdout.decode().splitlines()]
    assert [each["id"].rpartition("#")[2] for each in found] == ["1", "2", "1", "2", "3"]
    assert "error" in found[1]


def test_segments_and_columns_are_chosen(worker: FakeWorker, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("Nr,Antwort\n7,Gut. Schön.\n", encoding="utf-8")
    options = ["--column", "antwort", "--id-column", "Nr", "--segment", "sentence", "--quiet"]
    assert run_client(worker, "entities", str(file), *options).returncode == 0
    assert [(text.id, text.content) for text in worker.calls[0].request.texts] == [
        ("7.1", "Gut."),
        ("7.2", "Schön."),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--column", "Antwort"], "has no column"),
        (["--whole", "--segment", "turn"], "contradict each other"),
        (["--segment", "word"], '"word". Remedy: give one of: line, paragraph, turn, sentence, file'),
    ],
)
def test_wrong_options_of_the_input_are_told(
    arguments: list[str], words: str, worker: FakeWorker, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("id;text\n1;gut\n", encoding="utf-8")
    answer = run_client(worker, "sentiment", str(tmp_path / "a.csv"), *arguments)
    assert answer.returncode == 2
    assert words in answer.stderr.decode()
    assert worker.calls == []


def test_json_lines_as_input_and_output(worker: FakeWorker) -> None:
    lines = b'{"id": "a", "text": "Anna :)", "language": "de"}\n"nur Text"\n{"text": ""}\n'
    answer = run_client(worker, "sentiment", "--input", "jsonl", "--format", "jsonl", stdin=lines)
    assert answer.returncode == 1, answer.stderr
    first, second, third = [json.loads(line) for line in answer.stdout.splitlines()]
    assert (first["id"], first["label"], first["error"]) == ("a", "positive", None)
    assert second["id"] == "2"
    assert third["error"]["reason"] == "TEXT_EMPTY"
    assert explained([first, second, third])
    assert worker.calls[0].request.texts[0].language_code == "de"


def test_failed_texts_are_in_the_table_and_the_exit_code_is_1(worker: FakeWorker) -> None:
    answer = run_client(worker, "entities", "--input", "jsonl", stdin=b'"Anna"\n""\n')
    assert answer.returncode == 1
    assert "error TEXT_EMPTY: the text has no characters" in answer.stdout.decode()
    assert "2 texts, 1 with an error" in answer.stdout.decode()


def test_tables_show_the_first_numbers_of_vectors_and_json_all(worker: FakeWorker) -> None:
    assert "2           +4.0000 +2.0000 …" in run_client(worker, "embed", stdin=b"aber").stdout.decode()
    document = json.loads(run_client(worker, "embed", "--format", "json", stdin=b"aber").stdout)
    assert document["results"][0]["dense"] == [4.0, 2.0]
    assert document["provenances"][0]["model"] == "multilingual-embedding"


def test_cut_texts_are_marked(worker: FakeWorker) -> None:
    answer = run_client(worker, "sentiment", stdin=b"a b c d e f g h i j")
    assert "(cut: 8 of 10 tokens)" in answer.stdout.decode()


def test_paraphrases_are_shown_with_their_texts(worker: FakeWorker, tmp_path: Path) -> None:
    answer = run_client(worker, "paraphrases", "--format", "json", stdin=b"ab\nc\nde\n")
    [pair] = json.loads(answer.stdout)["pairs"]
    assert (pair["first"]["text"], pair["second"]["text"], pair["score"]) == ("ab", "de", 1.0)
    assert worker.calls[0].request[0].settings.threshold == 0.75
    others = tmp_path / "others.txt"
    others.write_text("xy\n", encoding="utf-8")
    table = run_client(worker, "paraphrases", "-", str(others), "--best", "1", stdin=b"ab\n").stdout.decode()
    assert table.splitlines()[1].split() == ["1.0000", "1", "1", "ab", "xy"]
    assert not worker.calls[1].request[0].settings.HasField("threshold")


@pytest.mark.parametrize("form", ["table", "csv"])
def test_paraphrases_say_how_many_texts_were_cut(worker: FakeWorker, form: str) -> None:
    answer = run_client(
        worker, "paraphrases", "--format", form, stdin=b"a b c d e f g h i\na b\nb c d e f g h i j\n"
    )
    assert b"longer than the model reads: 2;" in answer.stderr
    assert b"longer than" not in answer.stdout
    assert run_client(worker, "paraphrases", "--format", form, stdin=b"a b\nc d\n").stderr == b""


@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_analyze_writes_each_format(worker: FakeWorker, form: str) -> None:
    answer = run_client(worker, "analyze", "--format", form, "--task", "entities", stdin=b"Anna\nBen\n")
    assert answer.returncode == 0, answer.stderr
    text = answer.stdout.decode()
    if form == "table":
        assert [line.split()[2] for line in text.splitlines()] == ["Anna", "Ben"]
    else:
        results = json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
        assert [each["entities"]["entities"][0]["text"] for each in results] == ["Anna", "Ben"]


def test_models_cache_and_health_are_shown(worker: FakeWorker) -> None:
    assert "german-sentiment*" in run_client(worker, "models").stdout.decode()
    assert run_client(worker, "cache").returncode == 0
    health = run_client(worker, "health", "--wait", "5s", "--format", "json")
    assert (health.returncode, json.loads(health.stdout)) == (0, {"service": "", "health": "SERVING"})


def test_an_incomplete_cache_has_the_exit_code_of_cache_check(worker: FakeWorker) -> None:
    worker.health[""] = 2
    answer = run_client(worker, "cache")
    assert answer.returncode == 10
    assert "german-ner: config.json: CACHE_INCOMPLETE: is not there" in answer.stdout.decode()
    assert "and 1 problems more" in answer.stdout.decode()
    assert hint_line("CACHE_INCOMPLETE") in answer.stdout.decode()
    for form in ("json", "jsonl"):
        document = explained(json.loads(run_client(worker, "cache", "--format", form).stdout))
        assert document["help"] == explanation_hint("CACHE_INCOMPLETE")
    assert run_client(worker, "health").returncode == 61


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "MODEL_UNKNOWN", 2),
        (grpc.StatusCode.INTERNAL, "MODEL_FAILED", 50),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", 62),
        (grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_SERVED", 64),
    ],
)
def test_each_error_has_its_exit_code(
    worker: FakeWorker, code: grpc.StatusCode, reason: str, exit_code: int
) -> None:
    worker.faults = [refuse(code, reason, "so it is")]
    answer = run_client(worker, "sentiment", "--format", "json", stdin=b"gut")
    assert answer.returncode == exit_code
    line = f"qda-client: {reason}: so it is. Remedy: correct it\n"
    assert (
        answer.stderr.decode()
        == line + f"more: cache-warmer explain {reason} (docs/reasons.md#{reason.lower()})\n"
    )
    help_ = explanation_hint(reason)
    document = {"reason": reason, "message": "so it is", "remedy": "correct it", "help": help_}
    assert json.loads(answer.stdout) == document


def test_an_unreachable_target_is_one_line_with_a_hint_and_exit_code_60() -> None:
    answer = run_program(["models"], environment={"QDA_TARGET": "127.0.0.1:1"})
    assert answer.returncode == 60
    message, hint = answer.stderr.decode().splitlines(keepends=True)
    assert message.startswith("qda-client: NOT_REACHABLE: no worker answers at 127.0.0.1:1")
    assert hint == hint_line("NOT_REACHABLE")


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (["sentiment", "--modle", "x"], b"gut", "did you mean --model?"),
        (["sentimnt"], b"", 'did you mean "sentiment"?'),
        ([], b"", "required"),
        (["sentiment"], "gut\nschön".encode("latin-1"), "stdin is not UTF-8: byte 7, line 2 is 0xf6"),
        (["sentiment", "--whole"], b"gut\n\xff", "stdin is not UTF-8: byte 4 is 0xff"),
        (["sentiment"], b"\n \n", "no text in -"),
        (["sentiment", "/no/such/file"], b"", "/no/such/file cannot be read"),
        (["sentiment", "--input", "jsonl"], b'{"id": 1}', "stdin, line 1"),
        (["sentiment", "--input", "jsonl"], b"gut", "stdin, line 1: found no JSON"),
        (["sentiment", "--timeout", "soon"], b"gut", "--timeout"),
        (["sentiment", "--timeout", "0"], b"gut", "--timeout"),
        (["sentiment", "--format", "xml"], b"gut", "--format"),
        (["sentiment", "--target", "nowhere"], b"gut", "has no port"),
        (["sentiment", "--tls-ca", "/no/such/file"], b"gut", "/no/such/file cannot be read"),
        (["analyze", "--task", "moood"], b"gut", 'unknown task "moood"'),
        (["paraphrases", "--best", "0"], b"gut", "best is 0"),
        (["models", "--catalog", "x"], b"", "unknown option"),
        (["models", "--cache", "x"], b"", "unknown option"),
    ],
)
def test_a_usage_error_is_one_line_with_a_remedy(arguments: list[str], stdin: bytes, words: str) -> None:
    answer = run_program(arguments, stdin=stdin)
    message = answer.stderr.decode()
    assert answer.returncode == 2, message
    assert words in message
    assert "Remedy: " in message
    assert message.count("\n") == 1
    assert answer.stdout == b""


def test_a_closed_stdout_is_not_an_error(worker: FakeWorker) -> None:
    program = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "qda_worker.client.cli.main",
            "analyze",
            "--target",
            worker.target,
            "--format",
            "jsonl",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": SOURCES, "PYTHONUTF8": "1"},
    )
    assert program.stdout is not None
    program.stdout.close()
    _, stderr = program.communicate(b"Anna :)\n" * 2_000, timeout=60)
    assert stderr == b""
    assert program.returncode == 141


def characters(text: str) -> list[list[float]]:
    return [[float(ord(char)), float(place)] for place, char in enumerate(text)]


@pytest.mark.parametrize("quiet", [False, True])
def test_the_program_reports_what_it_waits_for_until_the_deadline(worker: FakeWorker, quiet: bool) -> None:
    worker.faults = [refuse(grpc.StatusCode.UNAVAILABLE, "NOT_READY", "german-ner waits for its cache")] * 99
    more = ["--quiet"] if quiet else []
    answer = run_client(worker, "sentiment", "--timeout", "3", *more, stdin=b"gut")
    assert answer.returncode == 61
    lines = answer.stderr.decode().removesuffix(hint_line("NOT_READY")).splitlines()
    assert lines[-1].startswith("qda-client: NOT_READY: german-ner waits for its cache. Remedy:")
    assert len(lines[:-1]) == (0 if quiet else 1)
    for note in lines[:-1]:
        assert note.startswith("qda-client: waiting up to ")
        assert note.endswith(f"worker at {worker.target}: NOT_READY: german-ner waits for its cache")


def test_every_kind_of_vector_is_shown(worker: FakeWorker) -> None:
    kinds = [word for kind in ALL for word in ("--kind", kind)]
    table = run_client(worker, "embed", *kinds, stdin=b"aber").stdout.decode()
    assert "2 tokens    ▁gut=0.500 ▁und=0.250" in table
    assert "4x2         +97.0000 +0.0000 …" in table
    answer = run_client(worker, "embed", *kinds, "--format", "jsonl", stdin=b"aber\nja")
    first, second = [json.loads(line) for line in answer.stdout.splitlines()]
    assert first["multi_vector"] == characters("aber")
    assert second["sparse"] == {"token_ids": [7, 3], "weights": [0.5, 0.25], "tokens": ["▁gut", "▁und"]}


@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_results_before_a_failure_are_written(worker: FakeWorker, form: str) -> None:
    worker.faults = [lambda _: None] * 4 + [refuse(grpc.StatusCode.INTERNAL, "INTERNAL")] * 4
    lines = b"gut :)\n" * 1_000
    answer = run_client(worker, "sentiment", "--format", form, stdin=lines)
    assert answer.returncode == 50
    assert b"INTERNAL" in answer.stderr
    if form == "json":
        document = json.loads(answer.stdout)
        assert document["error"]["reason"] == "INTERNAL"
        count = len(document["results"])
    elif form == "jsonl":
        *results, error = [json.loads(line) for line in answer.stdout.splitlines()]
        assert error["reason"] == "INTERNAL"
        count = len(results)
    else:
        count = answer.stdout.decode().count("positive")
        assert f"{count} of 1,000 texts" in answer.stdout.decode()
    assert 0 < count < 1_000
    assert count % 100 == 0
