"""Result files, the report and its citation with a real worker: texts, entities, vectors and commits arrive in them."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.service.worker.process import ServeProcess

TRANSCRIPT: Final = """\
I: Wo arbeiten Sie? #00:00:03-0#
B1: Ich arbeite bei Siemens in Berlin. #00:00:09-5#
I: Und Frau Müller? #00:00:12-0#
B1: Ich arbeite bei Siemens in Berlin! #00:01:20-0#
"""


def run(worker: ServeProcess, *arguments: str) -> str:
    """Run `qda-client` and return its stdout."""
    target = [] if arguments[0] in ("cite", "convert") else ["--target", worker.address]
    done = subprocess.run(
        [sys.executable, "-m", "qda_worker.client.cli.main", arguments[0], *target, *arguments[1:]],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def transcript(tmp_path: Path) -> str:
    """Write an interview with two speakers."""
    path = tmp_path / "interview.txt"
    path.write_text(TRANSCRIPT, encoding="utf-8")
    return str(path)


def test_the_report_shows_what_the_worker_found(
    worker: ServeProcess, transcript: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    run(worker, "report", transcript, "-o", str(page), "--title", "Zwei Gespräche", "--threshold", "0.9")
    content = page.read_text("utf-8")
    assert "<h1>Zwei Gespräche</h1>" in content
    assert content.count("<li id=") == 4
    assert content.count('class="speaker">B1<') == 2
    assert "<mark>Siemens<span>&nbsp;Organisation</span></mark>" in content
    assert "<mark>Berlin<span>&nbsp;Ort</span></mark>" in content
    assert '<a href="#s4">4&ensp;Ich arbeite bei Siemens in Berlin!</a>' in content
    for commit in ("1" * 40, "4" * 40):
        assert commit in content


def test_vectors_entities_and_sentiment_are_in_one_table(
    worker: ServeProcess, transcript: str, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = tmp_path / "results.parquet"
    tasks = [word for task in ("sentiment", "entities", "embedding") for word in ("--task", task)]
    run(worker, "analyze", transcript, *tasks, "--output", str(table))
    found = parquet.read_table(table).to_pydict()
    assert found["speaker"] == ["I", "B1", "I", "B1"]
    assert found["entities"][1] == "Siemens [ORG]; Berlin [LOC]"
    assert all(found["sentiment"])
    assert len({len(vector) for vector in found["vector"]}) == 1
    cited = run(worker, "cite", str(table))
    for part in (
        "qda-test/sentiment",
        "1" * 40,
        "de_tiny",
        "version 1.0.0",
        "qda-test/embedding",
        "qda-worker",
    ):
        assert part in cited
