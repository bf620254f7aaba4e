"""The commands and the Python of the pages about the client, run in their order against a worker.

Each page has a folder of its own with the files that it names. Addresses in it are replaced by that of the worker;
nothing else is changed. What is run elsewhere, or cannot be run here, is in ELSEWHERE.
"""

import re
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.document_files import docx, paragraph
from tests.support.example_programs import ROOT, needed, run
from tests.support.page_blocks import Block, read_blocks, read_commands

PAGES: Final = (
    "README.md", "docs/calling.md", "docs/files.md", "docs/results.md", "docs/pseudonyms.md", "docs/interpreting.md",
    "docs/performance.md", "examples/README.md",
)  # fmt: skip
RUN: Final = {"grpcurl", "qda-client"}
# Programs of installation and operation: `make demo`, tests/service, tests/compose and tests/cluster run them.
# `eval` and `source` are for shell completion (tests/unit/model_cache/cli).
ELSEWHERE: Final = {
    ".venv/bin/python", "cache-check", "cache-warmer", "docker", "eval", "export", "helm", "kubectl", "make", "mkdir",
    "pip", "python3", "python", "qda-worker", "source",
}  # fmt: skip
ADDRESS: Final = re.compile(r"127\.0\.0\.1:50051|worker-qda-worker-headless:50051")
INTERVIEW: Final = """\
I: Frau Müller, wo wohnen Sie?
B1: Ich wohne in Köln. Das ist schön.
B1: Mein Telefon ist 0221 1234567.
"""
# What the prose around the Python of a page supposes.
BEFORE: Final = {
    "docs/calling.md": """
from qda_worker.client import Client, EmbeddingKind
client, start, end, store, texts = Client("127.0.0.1:50051"), 3, 14, print, ["Ich war froh.", "Das ärgert mich."]
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the pages name."""
    interviews = tmp_path / "interviews"
    interviews.mkdir()
    (interviews / "Interview 1.txt").write_text(INTERVIEW, "utf-8")
    document = docx("".join(map(paragraph, INTERVIEW.splitlines())))
    for path in (interviews / "Interview 2.docx", tmp_path / "Interview 1.docx", tmp_path / "interview.docx"):
        path.write_bytes(document)
    (tmp_path / "Interview 2.rtf").write_text(
        r"{\rtf1\ansi I: Wie geht es?\par B1: Gut.\par I: Und sonst?\par}"
    )
    lines = [f"Der Bus kommt zum {n}. Mal zu spät." for n in range(20)]
    for name in ("corpus.txt", "statements.txt"):
        (tmp_path / name).write_text("\n".join(lines), "utf-8")
    (tmp_path / "interview.txt").write_text(INTERVIEW, "utf-8")
    (tmp_path / "corpus.jsonl").write_text("".join(f'{{"text": "{line}"}}\n' for line in lines), "utf-8")
    table = "Nr;Antwort;Was hat gefehlt?\n1;Alles gut;Nichts\n2;Zu teuer;Zeit\n"
    (tmp_path / "survey.csv").write_text(table, "utf-8")
    for name in ("keys", ".config/fish/completions"):  # the home is this folder
        (tmp_path / name).mkdir(parents=True)
    for name in ("proto", "third_party"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def commands(page: str) -> list[tuple[str, str]]:
    """Return the program and the line of each command of a page."""
    indented = [block for block in read_blocks(ROOT / page) if block.language == "indented"]
    return [(line.split()[0], line) for block in indented for line in read_commands(block)]


def python(page: str) -> list[Block]:
    return [block for block in read_blocks(ROOT / page) if block.language == "python"]


@pytest.mark.parametrize("page", PAGES)
def test_it_is_known_of_each_command_where_it_is_run(page: str) -> None:
    assert {program for program, _ in commands(page)} - RUN - ELSEWHERE == set()


@pytest.mark.parametrize("page", [page for page in PAGES if {each for each, _ in commands(page)} & RUN])
def test_the_commands_of_a_page_succeed(target: str, folder: Path, page: str) -> None:
    for program, line in commands(page):
        if program in RUN:
            needed(program, "see the page")
            command = ADDRESS.sub(target, line)
            run(["bash", "-c", command], target, folder, HOME=str(folder), QDA_TIMEOUT="60s")
            for output in re.findall(r"(?:--output|--review|--resume) (\S+)", line.partition(" # ")[0]):
                assert (folder / output).exists(), line


@pytest.mark.parametrize("page", [page for page in PAGES if python(page)])
def test_the_python_of_a_page_runs(target: str, folder: Path, page: str) -> None:
    program = "".join([BEFORE.get(page, ""), *(block.text for block in python(page))])
    run([sys.executable, "-W", "ignore::ResourceWarning", "-c", ADDRESS.sub(target, program)], target, folder)
