"""Calls by HTTP against the same calls by gRPC, and AnalyzeSyntax against plain spaCy, as ratios of one run.

One worker serves both ports, and is called as its users do: each side builds its requests, and reads every vector and
every token of the answers. Sides take turns, in another order in each repetition, with texts of their own, because
equal texts are computed once. Plain spaCy is `nlp.pipe` in a process of its own, with the components that the worker
says it has run; its results are only counted.

    .venv/bin/python -m benchmarks.http_calls                                       # models of real size
    .venv/bin/python -m benchmarks.http_calls --models small --rounds 2 --texts 64  # does it work?
"""

import argparse
import base64
import http.client
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

import grpc
import numpy as np

from benchmarks.real_load import spread
from benchmarks.real_size import ENTITIES, PARAPHRASE, SENTIMENT, create_real_size_cache, make_texts
from benchmarks.results import Role
from benchmarks.session import FOLDER
from benchmarks.sides import CALLERS, REQUEST_TEXTS, LibrarySide, library_command, timed
from qda.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    sentiment_pb2,
    sentiment_pb2_grpc,
    syntax_pb2,
    syntax_pb2_grpc,
    text_pb2,
)
from qda_worker.cpu import cpu_budget
from tests.service.worker.fixtures import CacheFixture, create_cache
from tests.service.worker.process import serving
from tests.support.small_models import small_models

# Tokens of a text, special ones included.
TOKENS: Final = (40, 40)
# Seconds without a request after which a connection is opened again; the worker closes idle ones.
_REOPEN_SECONDS: Final = 30.0
# spaCy's pipeline is some ten times as fast as a transformer, so it gets more texts.
SYNTAX_FACTOR: Final = 8
# Layers of AnalyzeSyntax by the name of a comparison; none: all that the model has.
LAYERS: Final = {
    "all layers": (),
    "lemmas and parts of speech": ("SYNTAX_LAYER_LEMMA", "SYNTAX_LAYER_UNIVERSAL_PART_OF_SPEECH"),
}
TASKS: Final = ("sentiment", "embed", "syntax")

Call = Callable[[Sequence[str]], Any]


@dataclass(frozen=True, slots=True)
class Served:
    """The cache of the worker, and the keys of its models."""

    cache: CacheFixture
    sentiment: str
    embedding: str
    syntax: str


class GrpcCalls:
    """The calls by gRPC; they may be made from several threads."""

    def __init__(self, stack: ExitStack, address: str, served: Served) -> None:
        options = [("grpc.max_receive_message_length", -1)]
        channel = stack.enter_context(grpc.insecure_channel(address, options=options))
        self._served = served
        self._sentiment: Any = sentiment_pb2_grpc.SentimentServiceStub(channel)
        self._embedding: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._syntax: Any = syntax_pb2_grpc.SyntaxServiceStub(channel)

    def sentiment(self, texts: Sequence[str]) -> None:
        request = sentiment_pb2.AnalyzeSentimentRequest(model=self._served.sentiment, texts=_messages(texts))
        response = self._sentiment.AnalyzeSentiment(request)
        _check([result.probabilities.positive for result in response.results], texts)

    def embed(self, texts: Sequence[str]) -> None:
        request = embedding_pb2.EmbedRequest(model=self._served.embedding, texts=_messages(texts))
        response = self._embedding.Embed(request)
        _check([_vector(result.dense.data) for result in response.results], texts)

    def syntax(self, layers: Sequence[str], texts: Sequence[str]) -> list[str]:
        """Return the components that have run."""
        request = syntax_pb2.AnalyzeSyntaxRequest(
            model=self._served.syntax,
            texts=_messages(texts),
            offset_encoding=text_pb2.OFFSET_ENCODING_CODE_POINTS,
            layers=[syntax_pb2.SyntaxLayer.Value(layer) for layer in layers],
        )
        response = self._syntax.AnalyzeSyntax(request)
        _check([[token.text for token in result.tokens] for result in response.results], texts)
        return list(response.provenance.components)


class HttpCalls:
    """The calls by HTTP, with one connection for each thread."""

    def __init__(self, port: int, served: Served) -> None:
        self._port = port
        self._served = served
        self._local = threading.local()

    def sentiment(self, texts: Sequence[str]) -> None:
        body = {"model": self._served.sentiment, "texts": _objects(texts)}
        answer = self._post("/qda.v1.SentimentService/AnalyzeSentiment", body)
        _check([result["probabilities"]["positive"] for result in answer["results"]], texts)

    def embed(self, texts: Sequence[str]) -> None:
        body = {"model": self._served.embedding, "texts": _objects(texts)}
        answer = self._post("/qda.v1.EmbeddingService/Embed", body)
        _check([_vector(base64.b64decode(result["dense"]["data"])) for result in answer["results"]], texts)

    def embed_openai(self, texts: Sequence[str]) -> None:
        body = {"model": self._served.embedding, "input": list(texts), "encoding_format": "base64"}
        answer = self._post("/v1/embeddings", body)
        _check([_vector(base64.b64decode(item["embedding"])) for item in answer["data"]], texts)

    def syntax(self, layers: Sequence[str], texts: Sequence[str]) -> None:
        body = {
            "model": self._served.syntax,
            "texts": _objects(texts),
            "offsetEncoding": "OFFSET_ENCODING_CODE_POINTS",
            "layers": layers,
        }
        answer = self._post("/qda.v1.SyntaxService/AnalyzeSyntax", body)
        _check([[token["text"] for token in result["tokens"]] for result in answer["results"]], texts)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection("127.0.0.1", self._port)
        elif time.monotonic() - self._local.used > _REOPEN_SECONDS:
            connection.close()  # the next request opens it again
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        self._local.used = time.monotonic()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path} answers {response.status}: {data[:300]!r}")
        return json.loads(data)


def _messages(texts: Sequence[str]) -> list[text_pb2.Text]:
    return [text_pb2.Text(content=text) for text in texts]


def _objects(texts: Sequence[str]) -> list[dict[str, str]]:
    return [{"content": text} for text in texts]


def _vector(data: bytes) -> Any:
    return np.frombuffer(data, "<f4")


def _check(results: Sequence[Any], texts: Sequence[str]) -> None:
    """Require a result for each text; the vector or the tokens of a text that failed are empty."""
    if len(results) != len(texts) or any(np.size(result) == 0 for result in results):
        raise RuntimeError(f"not all of {len(texts)} texts were answered")


class Turns:
    """Lets sides take turns, each with texts that no side had before.

    Args:
        rounds: repetitions; one before them warms up and does not count.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._seeds = count(1)

    def rates(self, sides: dict[str, Callable[[Sequence[str]], float]], texts: int) -> dict[str, list[float]]:
        """Return the texts per second of each side in each repetition.

        Args:
            sides: each returns the seconds that it needed for its texts.
            texts: number of texts of a side in a repetition.
        """
        found: dict[str, list[float]] = {name: [] for name in sides}
        for number, order in self._orders(sides):
            for name in order:
                rate = texts / sides[name](make_texts(texts, TOKENS, next(self._seeds)))
                if number:
                    found[name].append(rate)
        return found

    def medians(self, sides: dict[str, Call], texts: int) -> dict[str, list[float]]:
        """Return the median milliseconds for one text of each side in each repetition; sides alternate by text."""
        found: dict[str, list[float]] = {name: [] for name in sides}
        for number, order in self._orders(sides):
            seconds: dict[str, list[float]] = {name: [] for name in sides}
            own = {name: make_texts(texts, TOKENS, next(self._seeds)) for name in sides}
            for index in range(texts):
                for name in order:
                    seconds[name].append(timed(lambda: sides[name]([own[name][index]])))  # noqa: B023  # called at once
            if number:
                for name in sides:
                    found[name].append(1000 * median(seconds[name]))
        return found

    def _orders(self, sides: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
        names = list(sides)
        for number in range(self._rounds + 1):
            first = number % len(names)
            yield number, names[first:] + names[:first]


def bulk(call: Call) -> Callable[[Sequence[str]], float]:
    """Return what sends texts in `CALLERS` requests of `REQUEST_TEXTS` at a time, and returns the seconds."""

    def run(texts: Sequence[str]) -> float:
        parts = [texts[start : start + REQUEST_TEXTS] for start in range(0, len(texts), REQUEST_TEXTS)]
        with ThreadPoolExecutor(CALLERS) as pool:
            return timed(lambda: list(pool.map(call, parts)))

    return run


def show_rates(title: str, rates: dict[str, list[float]], goal: float) -> None:
    """Print texts per second, and those of each side divided by those of the first one."""
    first, *_ = rates

    def compare(values: list[float]) -> str:
        share = median(values) / median(rates[first])
        by_round = spread([own / other for own, other in zip(values, rates[first], strict=True)], 2)
        return f"{share:.2f} of {first} ({by_round} by repetition); goal {goal:g}"

    show(f"{title}: texts per second", rates, 1, compare)


def show_medians(title: str, medians: dict[str, list[float]], goal: float) -> None:
    """Print the milliseconds for one text, and the difference of each side to the first one."""
    first, *_ = medians

    def compare(values: list[float]) -> str:
        differences = [own - other for own, other in zip(values, medians[first], strict=True)]
        return f"{median(differences):+.2f} ms against {first} ({spread(differences, 2)}); goal {goal:g}"

    show(f"{title}: p50 in ms", medians, 2, compare)


def show(
    title: str, sides: dict[str, list[float]], digits: int, compare: Callable[[list[float]], str]
) -> None:
    """Print the values of each side, and how those of all but the first one compare with it."""
    print(title)
    for number, (name, values) in enumerate(sides.items()):
        compared = f"   {compare(values)}" if number else ""
        print(f"  {name:24} {spread(values, digits):>26}{compared}", flush=True)


def compare_ports(turns: Turns, task: str, sides: dict[str, Call], texts: int, singles: int) -> None:
    """Measure one task by gRPC and HTTP."""
    rates = turns.rates({name: bulk(call) for name, call in sides.items()}, texts)
    show_rates(f"{task}, {REQUEST_TEXTS} texts a call", rates, 0.9)
    show_medians(f"{task}, one text", turns.medians(sides, singles), 3)


def compare_syntax(turns: Turns, served: Served, by_grpc: GrpcCalls, by_http: HttpCalls, texts: int) -> None:
    """Measure AnalyzeSyntax and plain spaCy with the components that it runs."""
    for title, layers in LAYERS.items():
        components = by_grpc.syntax(layers, make_texts(1, TOKENS))
        with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
            command = plain_command(served, components, Path(folder))
            plain = LibrarySide(
                stack, command, Path(folder, "spacy.log"), role=Role.BASELINE, label="nlp.pipe"
            )
            sides = {
                "nlp.pipe": plain.bulk_seconds,
                "AnalyzeSyntax, gRPC": bulk(lambda part: by_grpc.syntax(layers, part)),  # noqa: B023  # not kept
                "AnalyzeSyntax, HTTP": bulk(lambda part: by_http.syntax(layers, part)),  # noqa: B023
            }
            rates = turns.rates(sides, texts)
        show_rates(f"syntax, {title} ({', '.join(components)})", rates, 0.95)


def plain_command(served: Served, components: Sequence[str], folder: Path) -> list[str]:
    """Return the command of `nlp.pipe` with some components, with the spaCy of the worker."""
    model, threads = served.cache.path(served.syntax), cpu_budget(os.environ).threads
    command = library_command("spacy", model, ENTITIES, threads=threads, prepared=folder, own=True)
    return [*command, "--components", *components]


def real_models() -> Served:
    """Return models of real size; the pipeline is the small one of the tests."""
    return Served(create_real_size_cache(FOLDER / "models"), SENTIMENT, PARAPHRASE, ENTITIES)


def tiny_models(folder: Path) -> Served:
    """Return models of a few layers in an empty folder, and the pipeline of the tests."""
    cache = create_cache(folder)
    pipeline = cache.path("tiny-ner")
    shutil.rmtree(pipeline)
    [wheel] = (small_models().hub / "wheels").glob("*.whl")
    with tempfile.TemporaryDirectory() as unpacked, zipfile.ZipFile(wheel) as content:
        content.extractall(unpacked)
        [config] = Path(unpacked).rglob("config.cfg")
        shutil.copytree(config.parent, pipeline)
    cache.publish()
    return Served(cache, "tiny-sentiment", "tiny-paraphrase", "tiny-ner")


def main() -> int:
    """Start the worker, measure, and print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", choices=["real", "small"], default="real")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=7, help="repetitions; default %(default)s")
    parser.add_argument(
        "--texts",
        type=int,
        default=256,
        help="of a side in a repetition; default %(default)s; 8 times for syntax",
    )
    parser.add_argument("--singles", type=int, default=40, help="texts for the p50; default %(default)s")
    arguments = parser.parse_args()
    turns = Turns(arguments.rounds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served = real_models() if arguments.models == "real" else tiny_models(folder)
        options = [
            "--catalog",
            str(served.cache.catalog_file),
            "--cache",
            str(served.cache.cache),
            "--no-fetch",
        ]
        for key in (served.sentiment, served.embedding, served.syntax):
            options += ["--model", key]
        worker = stack.enter_context(serving(folder, *options, "--http-listen", "127.0.0.1:0"))
        worker.wait_until_ready()
        by_grpc = GrpcCalls(stack, worker.address, served)
        by_http = HttpCalls(worker.wait_for_event("http.listening")["port"], served)
        if "sentiment" in arguments.tasks:
            sides: dict[str, Call] = {"gRPC": by_grpc.sentiment, "HTTP": by_http.sentiment}
            compare_ports(turns, "sentiment", sides, arguments.texts, arguments.singles)
        if "embed" in arguments.tasks:
            sides = {
                "gRPC": by_grpc.embed,
                "HTTP": by_http.embed,
                "HTTP, /v1/embeddings": by_http.embed_openai,
            }
            compare_ports(turns, "embed", sides, arguments.texts, arguments.singles)
        if "syntax" in arguments.tasks:
            compare_syntax(turns, served, by_grpc, by_http, SYNTAX_FACTOR * arguments.texts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
