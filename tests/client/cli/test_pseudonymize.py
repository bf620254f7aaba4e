"""`qda-client pseudonymize` as a program: the three steps, and what is wrong with them."""

import csv
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import ModelCacheError
from qda_worker.client.cli.main import qda_client
from tests.client.cli.test_main import SOURCES
from tests.support.fake_worker import FakeWorker

TEXT: Final = "I: Wo wohnst du?\r\nB: In Köln, mail a@b.de\r\n"
ABSENT: Final = ("--target", "127.0.0.1:1", "--timeout", "1s")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.txt").write_bytes(TEXT.encode())
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run the program in this process; return its exit code and what it says."""
    try:
        code = qda_client([str(each) for each in arguments], {})
    except ModelCacheError as error:
        return error.reason.exit_code, str(error)
    return code, capsys.readouterr().err


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["form"]: row for row in csv.DictReader(file, delimiter=";")}


def test_a_corpus_is_reviewed_replaced_and_restored(
    worker: FakeWorker, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    review, out, key, back = (tmp_path / name for name in ("review.csv", "out", "key.json", "back"))
    step = ("pseudonymize", "--target", worker.target, corpus, "--review", review)
    code, said = run(capsys, *step)
    assert code == 0, said
    assert "recognition is not complete" in said
    found = rows(review)
    assert found["Köln"]["found_by"] == "model"
    assert found["a@b.de"]["placeholder"] == "[E-Mail 1]"
    assert (corpus / "a.txt").read_bytes() == TEXT.encode()
    review.write_text("replace;placeholder;form\nja;[Ort 1];Köln\nja;[E-Mail 1];a@b.de\n", encoding="utf-8")

    code, said = run(capsys, "pseudonymize", *ABSENT, corpus, "--apply", review, "-o", out, "--key", key)
    assert code == 0, said
    expected = TEXT.replace("Köln", "[Ort 1]").replace("a@b.de", "[E-Mail 1]")
    assert (out / "a.txt").read_bytes() == expected.encode()

    code, said = run(capsys, "pseudonymize", *ABSENT, out, "--restore", key, "-o", back)
    assert code == 0, said
    assert (back / "a.txt").read_bytes() == TEXT.encode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--review", "{review}"), "review.csv exists"),
        (("--review", "{absent}/r.csv"), "no folder"),
        (("--apply", "{review}"), "--apply needs --output"),
        (("--apply", "{review}", "-o", "{absent}"), "--apply needs --key"),
        (
            ("--apply", "{review}", "-o", "{absent}", "--key", "{absent}/k"),
            "would be in the folder of the texts",
        ),
        (("--apply", "{review}", "-o", "{corpus}", "--key", "{key}"), "corpus exists"),
        (("--apply", "{absent}", "-o", "{absent}", "--key", "{key}"), "cannot be read"),
        (("--restore", "{review}", "-o", "{absent}"), "is no key"),
        (("--restore", "{review}", "-o", "{absent}", "--key", "{key}"), "--restore takes no --key"),
    ],
)
def test_a_wrong_step_changes_nothing(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    review = tmp_path / "review.csv"
    review.write_text("replace;placeholder;form\nyes;[Ort 1];Köln\n", encoding="utf-8")
    places = {
        "review": review,
        "corpus": corpus,
        "key": tmp_path / "key.json",
        "absent": tmp_path / "absent",
    }
    before = sorted(tmp_path.rglob("*"))
    given = [each.format(**places) for each in arguments]
    code, said = run(capsys, "pseudonymize", *ABSENT, corpus, *given)
    assert (code, message in said) == (2, True), said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    (corpus / "long.txt").write_text("In Köln. " * 10_000, encoding="utf-8")
    review, out, key = tmp_path / "review.csv", tmp_path / "out", tmp_path / "key.json"
    review.write_text("replace;placeholder;form\nyes;[Ort 1];Köln\n", encoding="utf-8")
    program = [sys.executable, "-m", "qda_worker.client.cli.main", "pseudonymize", str(corpus)]
    answer = subprocess.run(
        ["sh", "-c", 'ulimit -f 16; exec "$@"', "sh", *program, "--apply", review, "-o", out, "--key", key],
        capture_output=True,
        check=False,
        timeout=60,
        env={"PYTHONPATH": SOURCES, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert b"free some space" in answer.stderr
    assert not out.exists()
    assert not key.exists()


def test_without_a_worker_there_is_no_list(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "pseudonymize", *ABSENT, corpus, "--review", tmp_path / "r.csv")
    assert code == 60, said
    assert not (tmp_path / "r.csv").exists()


def test_a_corpus_without_any_find_has_an_empty_list(
    worker: FakeWorker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("nichts\n", encoding="utf-8")
    code, said = run(capsys, "pseudonymize", "--target", worker.target, path, "--review", tmp_path / "r.csv")
    assert code == 0, said
    assert "nothing was found" in said
    assert rows(tmp_path / "r.csv") == {}


def test_results_are_written_as_a_project_and_a_code_book(
    worker: FakeWorker, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ("--target", worker.target)
    path = tmp_path / "p.qdpx"
    code, said = run(capsys, "analyze", *target, corpus, "-o", path)
    assert code == 0, said
    archive = zipfile.ZipFile(path)
    assert TEXT.replace("\r\n", "\n").encode() in [archive.read(name) for name in archive.namelist()]
    code, said = run(capsys, "entities", *target, corpus, "-o", tmp_path / "codes.qdc")
    assert code == 0, said
    assert b'name="PER"' in (tmp_path / "codes.qdc").read_bytes()
    code, said = run(capsys, "embed", *target, corpus, "-o", tmp_path / "v.qdpx")
    assert (code, "vectors are none" in said) == (2, True), said
    assert not list(tmp_path.glob("v.qdpx*"))
