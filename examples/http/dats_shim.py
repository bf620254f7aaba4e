"""Answer the spaCy requests of DATS (https://github.com/uhh-lt/dats) from a worker.

    python examples/http/dats_shim.py [--listen 127.0.0.1:8000] [--language de=german-ner]

DATS' back end asks its `ray` service for tokens, entities and sentences of a document: POST /spacy/pipeline with
`{"text": ..., "language": ...}`. This program answers in the same form with AnalyzeSyntax, so that the spaCy model is
loaded once, in the worker. Set `ray.host` and `ray.port` of DATS' configuration to it. It answers only that path, and
the list of routes that DATS reads when it starts.

Needs `pip install spacy` for its lists of stop words (no model), and a worker with an HTTP port (`qda-worker serve
--http-listen`): at http://127.0.0.1:8080, or at QDA_URL. QDA_TOKEN is a token, where the worker asks for one.
"""

import argparse
import json
import os
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from spacy.util import get_lang_class

URL: Final = os.environ.get("QDA_URL", "http://127.0.0.1:8080")
TOKEN: Final = os.environ.get("QDA_TOKEN")
# DATS' own limit is 2,000,000 characters.
MAX_BODY_BYTES: Final = 16 * 2**20
TIMEOUT_SECONDS: Final = 1200


class RequestFailed(Exception):
    """A request that is answered with an error: its HTTP status, and what is wrong."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def analyze(text: str, model: str) -> Any:
    """Return the worker's result for one text."""
    request = {
        "texts": [{"content": text}],
        "model": model,
        "longTextPolicy": "LONG_TEXT_POLICY_WINDOW",
        "offsetEncoding": "OFFSET_ENCODING_CODE_POINTS",
        "layers": [
            "SYNTAX_LAYER_SENTENCES",
            "SYNTAX_LAYER_LEMMA",
            "SYNTAX_LAYER_UNIVERSAL_PART_OF_SPEECH",
            "SYNTAX_LAYER_ENTITIES",
        ],
    }
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {TOKEN}"} if TOKEN else {})
    address = f"{URL}/qda.v1.SyntaxService/AnalyzeSyntax"
    posted = urllib.request.Request(address, json.dumps(request).encode(), headers)  # noqa: S310  # set by the user
    try:
        with urllib.request.urlopen(posted, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            [result] = json.load(response)["results"]
    except urllib.error.HTTPError as error:
        raise RequestFailed(error.code, json.load(error)["message"]) from error
    except OSError as error:
        raise RequestFailed(502, f"the worker at {URL} does not answer: {error}") from error
    if "status" in result:
        raise RequestFailed(422, result["status"]["message"])
    return result


def pipeline(text: str, model: str, stop_words: set[str]) -> dict[str, Any]:
    """Return tokens, entities and sentences in DATS' form."""
    if not text:
        return {"tokens": [], "ents": [], "sents": []}
    result = analyze(text, model)
    tokens = [
        {
            "text": token["text"],
            "start_char": token["span"]["start"],
            "end_char": token["span"]["end"],
            "pos": token["universalPartOfSpeech"],
            "lemma": token["lemma"],
            # As spaCy derives them from the text of a token.
            "is_stopword": token["text"].lower() in stop_words,
            "is_punctuation": all(unicodedata.category(each).startswith("P") for each in token["text"]),
            "is_alpha": token["text"].isalpha(),
            "is_digit": token["text"].isdigit(),
        }
        for token in result["tokens"]
    ]
    sentences = [
        (sentence["firstTokenIndex"], sentence["firstTokenIndex"] + sentence["tokenCount"], "SENTENCE")
        for sentence in result["sentences"]
    ]
    return {
        "tokens": tokens,
        "ents": [span(text, tokens, *each) for each in entities(result["tokens"])],
        "sents": [span(text, tokens, *each) for each in sentences],
    }


def entities(tokens: Sequence[Mapping[str, Any]]) -> list[tuple[int, int, str]]:
    """Return first token, end and label of each entity."""
    found: list[tuple[int, int, str]] = []
    for index, token in enumerate(tokens):
        if token["entityBegins"]:
            found.append((index, index + 1, token["entityLabel"]))
        elif token["entityLabel"]:
            first, _, label = found[-1]
            found[-1] = (first, index + 1, label)
    return found


def span(text: str, tokens: Sequence[Mapping[str, Any]], first: int, end: int, label: str) -> dict[str, Any]:
    """Return a span of tokens in DATS' form."""
    start_char, end_char = tokens[first]["start_char"], tokens[end - 1]["end_char"]
    return {
        "text": text[start_char:end_char],
        "start_char": start_char,
        "end_char": end_char,
        "start_token": first,
        "end_token": end,
        "label": label,
    }


class Handler(BaseHTTPRequestHandler):
    """Answers DATS."""

    protocol_version = "HTTP/1.1"
    # By language: the key of the model in the worker's catalog, empty for the default, and the stop words.
    languages: Mapping[str, tuple[str, set[str]]] = {}

    def do_GET(self) -> None:
        """Answer the list of routes."""
        known = self.path == "/-/routes"
        self.answer(200, {"/spacy": "spacy"}) if known else self.answer(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        """Answer a document."""
        try:
            length = int(self.headers.get("Content-Length", 0))
            if length > MAX_BODY_BYTES:
                self.close_connection = True
                raise RequestFailed(413, f"more than {MAX_BODY_BYTES} bytes")
            body = self.rfile.read(length)
            if self.path != "/spacy/pipeline":
                raise RequestFailed(404, "Not Found")
            self.answer(200, pipeline(*self.parse(body)))
        except RequestFailed as error:
            self.answer(error.status, {"detail": str(error)})

    def parse(self, body: bytes) -> tuple[str, str, set[str]]:
        """Return the text, and what belongs to its language."""
        try:
            request = json.loads(body)
            text, language = request["text"], request["language"]
            if not (isinstance(text, str) and isinstance(language, str)):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise RequestFailed(422, 'a JSON object with "text" and "language" is expected') from None
        if language not in self.languages:
            known = ", ".join(self.languages)
            raise RequestFailed(
                422, f"no model for this language; start with --language for it. Known: {known}"
            )
        return text, *self.languages[language]

    def answer(self, status: int, content: Any) -> None:
        """Send JSON."""
        body = json.dumps(content, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Answer the spaCy requests of DATS from a worker.")
    parser.add_argument("--listen", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument(
        "--language", action="append", metavar="CODE[=MODEL]",
        help="a language, and the key of its model in the worker's catalog (default: de)",
    )  # fmt: skip
    options = parser.parse_args()
    pairs = [each.partition("=") for each in options.language or ["de"]]
    Handler.languages = {code: (key, get_lang_class(code).Defaults.stop_words) for code, _, key in pairs}
    host, _, port = options.listen.rpartition(":")
    with ThreadingHTTPServer((host, int(port)), Handler) as server:
        print(f"listening at {host}:{server.server_address[1]}", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
