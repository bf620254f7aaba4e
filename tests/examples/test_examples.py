"""Each example, run as its first lines say, on the interview of the demo."""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from tests.support.example_programs import NAMES, ROOT, base_python, needed, run
from tests.unit.project.test_rules import imported_packages

EXAMPLES: Final = ROOT / "examples"
STATEMENTS: Final = (ROOT / "demo/interview.txt").read_text("utf-8").splitlines()
BUS: Final = (
    "Leider hat der Bus jeden Tag Verspätung.",
    "Auf den Bus kann man sich überhaupt nicht verlassen 😡.",
)
RENT: Final = (
    "Nur die Miete ist inzwischen viel zu hoch.",
    "Für unsere Wohnung zahlen wir einfach zu viel Miete.",
)
# Packages and the names under which they are imported, if these differ.
IMPORTED_AS: Final = {"scikit-learn": "sklearn"}


def notebook(path: Path) -> list[dict[str, Any]]:
    """Return the code cells of a notebook."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_each_example_has_a_test_and_is_in_the_readme_of_the_folder() -> None:
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    programs = [
        path.relative_to(EXAMPLES).as_posix()
        for pattern in ("*.py", "*.ipynb", "*.sh", "node/*.js", "r/*.R", "http/*")
        for path in EXAMPLES.glob(pattern)
        if path.is_file()
    ]
    assert len(programs) >= 14
    assert [each for each in programs if f'"{each}"' not in tests or f"({each})" not in readme] == []


def test_what_the_examples_import_is_in_their_requirements() -> None:
    lines = (EXAMPLES / "requirements.txt").read_text("utf-8").splitlines()
    required = {line.split("#")[0].strip() for line in lines} - {""}
    imported = {name for path in EXAMPLES.glob("*.py") for name in imported_packages(path)}
    allowed = {IMPORTED_AS.get(each, each) for each in required} | {"qda_worker"} | sys.stdlib_module_names
    assert imported - allowed == set()


def test_what_an_example_by_http_imports_is_in_its_first_lines() -> None:
    for path in EXAMPLES.glob("http/*.py"):
        needs = set(re.findall(r"`pip install (\w+)`", path.read_text("utf-8")))
        assert imported_packages(path) - sys.stdlib_module_names == needs, path


def test_five_lines_of_python_stream_sentiment_and_entities(target: str) -> None:
    rows = [
        line.split("\t")
        for line in run([base_python(), str(EXAMPLES / "five_lines.py")], target).splitlines()
    ]
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(STATEMENTS) + 1)]
    assert {row[2] for row in rows} == {"positive", "negative", "neutral"}
    assert [row[4] for row in rows if "Ayşe" in row[3]] == [NAMES]


def test_async_python_counts_labels_by_speaker_of_several_files(target: str, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("Das Team ist großartig.\n", "utf-8")
    files = ["demo/interview.txt", str(other)]
    output = run([base_python(), str(EXAMPLES / "async_stream.py"), *files], target)
    assert [line for line in output.splitlines() if line in files] == files
    counts = {
        line.split()[0]: sum(map(int, re.findall(r" (\d+)", line))) for line in output.splitlines()[1:4]
    }
    assert counts == {
        who: sum(line.startswith(f"{who}:") for line in STATEMENTS) for who in ("I", "B1", "B2")
    }


def test_search_finds_the_statements_that_are_nearest_to_a_query(target: str) -> None:
    output = run([sys.executable, str(EXAMPLES / "search.py"), "Der Bus kommt zu spät."], target)
    assert len(output.splitlines()) == 5
    assert all(statement in "".join(output.splitlines()[:2]) for statement in BUS)


def test_topics_have_the_statements_about_one_subject_together(target: str) -> None:
    output = run([sys.executable, str(EXAMPLES / "topics.py")], target)
    [rent] = [topic for topic in output.split("\n\n") if RENT[0] in topic]
    assert RENT[1] in rent
    assert "miete" in rent.splitlines()[0]
    assert re.search(r"\d+ of 39 statements belong to no topic", output)


def test_the_notebook_runs_and_is_stored_without_results(target: str, tmp_path: Path) -> None:
    source, executed = EXAMPLES / "interview.ipynb", tmp_path / "results.ipynb"
    run(
        [needed("jupyter-execute", "pip install nbclient ipykernel"), str(source), "--output", str(executed)],
        target,
    )
    outputs = [json.dumps(cell["outputs"], ensure_ascii=False) for cell in notebook(executed)]
    expected = ["39 statements", "großartig", "negative", "Bremen", "similar_text", "model_revision"]
    assert [words for words, output in zip(expected, outputs, strict=True) if words not in output] == []
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in notebook(source))


def test_grpcurl_calls_the_worker_by_reflection(target: str) -> None:
    needed("grpcurl", "see github.com/fullstorydev/grpcurl")
    output = run([str(EXAMPLES / "grpcurl.sh")], target)
    assert "qda.v1.SentimentService" in output
    assert re.findall(r'"label": "(\w+)"', output) == [
        "SENTIMENT_LABEL_POSITIVE", "SENTIMENT_LABEL_NEGATIVE", "PER", "LOC",
    ]  # fmt: skip


def test_node_gets_what_python_gets(target: str) -> None:
    node = needed("node", "install Node.js 18 or newer")
    needed(str(EXAMPLES / "node/node_modules/.bin/proto-loader-gen-types"), "make test-examples runs npm ci")
    output = run([node, str(EXAMPLES / "node/interview.js")], target)
    python = run([base_python(), str(EXAMPLES / "five_lines.py")], target)
    assert [line.split("\t") for line in output.splitlines()] == [
        line.split("\t")[1:] for line in python.splitlines()
    ]
