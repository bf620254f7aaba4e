"""The examples that call a worker by HTTP, run as their first lines say."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Span

from tests.examples.conftest import Served
from tests.support.example_programs import ROOT, SECONDS, environment, interview_rows, needed, run

EXAMPLES: Final = ROOT / "examples"
BUS: Final = "Leider hat der Bus jeden Tag Verspätung."


def test_curl_gets_sentiment_entities_and_a_vector(url: str) -> None:
    needed("curl", "install curl")
    output = [json.loads(line) for line in run([str(EXAMPLES / "http/curl.sh")], url).splitlines()]
    sentiment, entities, models, embedding = output
    assert [each["label"] for each in sentiment["results"]] == [
        "SENTIMENT_LABEL_POSITIVE",
        "SENTIMENT_LABEL_NEGATIVE",
    ]
    assert [each["text"] for each in entities["results"][0]["entities"]] == ["Anna", "Köln"]
    assert models["data"][0]["id"] == embedding["model"] == "multilingual-embedding"
    assert isinstance(embedding["data"][0]["embedding"], str)


def test_node_cuts_out_what_positions_mean(url: str) -> None:
    interview_rows(
        run([needed("node", "install Node.js 18 or newer"), str(EXAMPLES / "http/interview.mjs")], url)
    )


def test_the_openai_client_finds_the_statements_nearest_to_a_query(url: str) -> None:
    output = run([sys.executable, str(EXAMPLES / "http/embeddings.py"), "Der Bus kommt zu spät."], url)
    assert len(output.splitlines()) == 5
    assert BUS in "".join(output.splitlines()[:2])


@pytest.fixture(scope="module")
def shim(url: str) -> Iterator[str]:
    command = [sys.executable, str(EXAMPLES / "http/dats_shim.py"), "--listen", "127.0.0.1:0"]
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
def test_the_shim_answers_dats_as_spacy_itself(shim: str, served: Served, text: str) -> None:
    [config] = served.cache.glob("spacy/**/config.cfg")
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
