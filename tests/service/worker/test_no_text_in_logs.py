"""No text appears in the log, at any level and with any outcome of its call: ids and counts only."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from qda.v1 import (
    analysis_pb2,
    analysis_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    entity_pb2,
    entity_pb2_grpc,
    paraphrase_pb2,
    paraphrase_pb2_grpc,
    sentiment_pb2,
    sentiment_pb2_grpc,
    text_pb2,
)
from tests.service.worker.calls import TIMEOUT
from tests.service.worker.process import ServeProcess
from tests.service.worker.test_metrics import wait_until_idle

MARK: Final = "Zyankalirose"
CALLERS_ID: Final = "fall-7"
Call = Callable[[grpc.Channel], Any]
UTF8: Final = text_pb2.OFFSET_ENCODING_UTF8_BYTES


def text(content: str = f"Merkel mag {MARK} in Köln.") -> text_pb2.Text:
    return text_pb2.Text(content=content, id=CALLERS_ID)


def sentiment(**more: Any) -> Call:
    request = sentiment_pb2.AnalyzeSentimentRequest(texts=[text()], **more)
    return lambda channel: sentiment_pb2_grpc.SentimentServiceStub(channel).AnalyzeSentiment(
        request, timeout=TIMEOUT
    )


def entities(content: str, **more: Any) -> Call:
    request = entity_pb2.RecognizeEntitiesRequest(texts=[text(content)], **more)
    return lambda channel: entity_pb2_grpc.EntityServiceStub(channel).RecognizeEntities(
        request, timeout=TIMEOUT
    )


def embed(channel: grpc.Channel) -> Any:
    request = embedding_pb2.EmbedRequest(texts=[text()])
    return embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed(request, timeout=TIMEOUT)


def embed_stream(channel: grpc.Channel) -> Any:
    request = embedding_pb2.EmbedStreamRequest(texts=[text(), text(MARK * 1000)])
    return list(embedding_pb2_grpc.EmbeddingServiceStub(channel).EmbedStream(request, timeout=TIMEOUT))


def score(channel: grpc.Channel) -> Any:
    request = paraphrase_pb2.ScorePairsRequest(
        pairs=[paraphrase_pb2.TextPair(first=text(), second=text(MARK))]
    )
    return paraphrase_pb2_grpc.ParaphraseServiceStub(channel).ScorePairs(request, timeout=TIMEOUT)


def half_a_pair(channel: grpc.Channel) -> Any:
    request = paraphrase_pb2.ScorePairsRequest(pairs=[paraphrase_pb2.TextPair(first=text())])
    return paraphrase_pb2_grpc.ParaphraseServiceStub(channel).ScorePairs(request, timeout=TIMEOUT)


def find(channel: grpc.Channel) -> Any:
    requests = [
        paraphrase_pb2.FindParaphrasesRequest(settings=paraphrase_pb2.FindParaphrasesSettings(threshold=0.1)),
        paraphrase_pb2.FindParaphrasesRequest(texts=paraphrase_pb2.TextChunk(texts=[text(), text(MARK)])),
    ]
    stub = paraphrase_pb2_grpc.ParaphraseServiceStub(channel)
    return list(stub.FindParaphrases(iter(requests), timeout=TIMEOUT))


def analyze(channel: grpc.Channel) -> Any:
    settings = analysis_pb2.AnalyzeDocumentsSettings(
        sentiment=analysis_pb2.SentimentTask(), offset_encoding=UTF8
    )
    requests = [
        analysis_pb2.AnalyzeDocumentsRequest(settings=settings),
        analysis_pb2.AnalyzeDocumentsRequest(document=text()),
        analysis_pb2.AnalyzeDocumentsRequest(settings=settings),  # a second time, which is an error
    ]
    stub = analysis_pb2_grpc.AnalysisServiceStub(channel)
    return list(stub.AnalyzeDocuments(iter(requests), timeout=TIMEOUT))


def broken_bytes(channel: grpc.Channel) -> Any:
    """Send a text that is not UTF-8, followed by half a field."""
    body = MARK.encode() + b"\xff"
    message = bytes([0x0A, len(body) + 2, 0x0A, len(body)]) + body
    call: Any = channel.unary_unary("/qda.v1.SentimentService/AnalyzeSentiment")
    return call(message + b"\x0a\x7f", timeout=TIMEOUT)


def cancelled(channel: grpc.Channel) -> Any:
    request = embedding_pb2.EmbedStreamRequest(texts=[text(f"{MARK} {number}") for number in range(2000)])
    call = embedding_pb2_grpc.EmbeddingServiceStub(channel).EmbedStream(request, timeout=TIMEOUT)
    next(iter(call))
    call.cancel()


CALLS: Final[list[Call]] = [
    sentiment(),
    sentiment(model=MARK),
    sentiment(model="tiny-ner"),
    sentiment(long_text_policy=99),
    entities(f"Merkel und {MARK}", offset_encoding=UTF8),
    entities(MARK),
    entities(MARK, offset_encoding=UTF8, labels=[MARK]),
    embed,
    embed_stream,
    score,
    half_a_pair,
    find,
    analyze,
    broken_bytes,
    cancelled,
]


def has_ended(worker: ServeProcess, number: int) -> bool:
    """Return whether at least `number` calls have ended."""
    return len(worker.events("call.ended")) >= number


def test_no_outcome_of_a_call_logs_its_text(worker: ServeProcess) -> None:
    wait_until_idle(worker)
    before = len(worker.events("call.ended"))
    with worker.channel() as channel:
        for number, call in enumerate(CALLS, before + 1):
            with suppress(grpc.RpcError):
                call(channel)
            worker.wait_for("a line a call", partial(has_ended, worker, number))
    lines = worker.events("call.ended")[before:]
    assert len(lines) == len(CALLS)
    assert {line["status"] for line in lines} >= {"OK", "INVALID_ARGUMENT", "CANCELLED"}
    assert MARK not in worker.log
    assert CALLERS_ID not in worker.log


@pytest.mark.parametrize(
    "arguments", [["sentiment"], ["entities"], ["embed"], ["paraphrases", "--best", "1"]]
)
def test_the_command_line_client_prints_no_texts_on_stderr(
    worker: ServeProcess, tmp_path: Path, arguments: list[str]
) -> None:
    file = tmp_path / "texts.txt"
    file.write_text(f"{MARK} ist gut\n{MARK} ist schlecht\n", encoding="utf-8")
    for more in ([], ["--model", "unknown"]):
        if more and arguments[0] == "paraphrases":
            continue
        command = [
            sys.executable,
            "-m",
            "qda_worker.client.cli.main",
            arguments[0],
            str(file),
            *arguments[1:],
            *more,
        ]
        done = subprocess.run(
            [*command, "--target", worker.address],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == (2 if more else 0), done.stderr
        assert MARK not in done.stderr
