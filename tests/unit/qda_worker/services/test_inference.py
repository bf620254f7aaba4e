"""The caller to which a request is charged, and the rule of all streams: a full queue is waited for."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
import pytest

from model_cache.catalog.catalog import HuggingFaceSource, Model, Task
from qda.v1 import analysis_pb2, embedding_pb2, paraphrase_pb2, processing_pb2, text_pb2
from qda_worker.errors import Draining, QueueFull
from qda_worker.models.base import LongText, ModelInfo, Options, Usage, VectorKind, model_info
from qda_worker.models.vectors import TextVectors
from qda_worker.observability.call_record import CallRecord, begin_call, current_call
from qda_worker.registry.registry import ModelRegistry, SelectedModel
from qda_worker.scheduling.jobs import Caller, Lane, Outcome, PreparedAhead, Success, Timings
from qda_worker.scheduling.turns import ComputeTurns
from qda_worker.services.analysis import AnalysisService
from qda_worker.services.embedding import EmbeddingService
from qda_worker.services.inference import (
    LARGE_CALL_CHARACTERS,
    LARGE_CALL_TEXTS,
    fairness_key,
    lane_by_size,
    wait_for_room,
)
from qda_worker.services.paraphrases import ParaphraseService

PRIORITIES: Final = {
    processing_pb2.PRIORITY_INTERACTIVE: Lane.INTERACTIVE,
    processing_pb2.PRIORITY_BULK: Lane.BULK,
}
TEXTS: Final = [text_pb2.Text(content=content) for content in ("gut", "schlecht", "gut genug")]


@dataclass
class FullEngine:
    """An engine of two-dimensional vectors that refuses the first calls and records the others."""

    refusals: int = 3
    calls: list[tuple[int, float | None, Caller]] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    error: Exception = field(default_factory=lambda: QueueFull("full", retry_after=0.001))
    queue: Any = field(default_factory=lambda: SimpleNamespace(healthy=True))

    @property
    def info(self) -> ModelInfo:
        model = Model("tiny", Task.PARAPHRASE, HuggingFaceSource("qda-test/tiny", "0" * 40, ()))
        return model_info(model, max_length=9, dimension=2, vector_kinds=[VectorKind.DENSE])

    async def answer(
        self,
        texts: Sequence[str],
        _options: Options,
        lane: Lane,
        deadline: float | None,
        caller: Caller,
        _prepared: Sequence[PreparedAhead] = (),
    ) -> list[Outcome[Any]]:
        if self.refusals:
            self.refusals -= 1
            raise self.error
        self.calls.append((len(texts), deadline, caller))
        self.lanes.append(lane)
        vectors = TextVectors(dense=np.ones(2, np.float32), sparse=None, multi=None)
        return [Success(vectors, Usage(3, 3, cut=False, window_count=1), Timings()) for _ in texts]


@pytest.fixture
def engine() -> FullEngine:
    return FullEngine()


@pytest.fixture
def registry(engine: FullEngine) -> ModelRegistry:
    selected = SelectedModel(cast("Any", engine), "digest", "generation")
    return cast(
        "ModelRegistry",
        SimpleNamespace(select=lambda _key, _task: selected, draining=asyncio.Event(), turns=ComputeTurns()),
    )


async def stream(*parts: Any) -> AsyncIterator[Any]:
    for part in parts:
        yield part


async def read_all(responses: AsyncIterator[Any]) -> list[Any]:
    record = begin_call("test")
    record.caller = record.peer = "ipv4:10.0.0.1:5000"
    return [response async for response in responses]


async def test_a_stream_of_vectors_waits_for_a_full_queue(
    engine: FullEngine, registry: ModelRegistry
) -> None:
    request = embedding_pb2.EmbedStreamRequest(texts=TEXTS)
    await read_all(EmbeddingService(registry).EmbedStream(request, cast("Any", None)))
    assert engine.calls == [(3, None, Caller("ipv4:10.0.0.1"))]


async def test_a_search_for_paraphrases_waits_for_a_full_queue(
    engine: FullEngine, registry: ModelRegistry
) -> None:
    settings = paraphrase_pb2.FindParaphrasesRequest(
        settings=paraphrase_pb2.FindParaphrasesSettings(threshold=0.5)
    )
    texts = paraphrase_pb2.FindParaphrasesRequest(texts=paraphrase_pb2.TextChunk(texts=TEXTS))
    found = await read_all(
        ParaphraseService(registry).FindParaphrases(stream(settings, texts), cast("Any", None))
    )
    assert engine.calls == [(3, None, Caller("ipv4:10.0.0.1"))]
    assert sum(len(part.pairs.pairs) for part in found) == 3


async def test_an_analysis_of_documents_waits_for_a_full_queue(
    engine: FullEngine, registry: ModelRegistry
) -> None:
    settings = analysis_pb2.AnalyzeDocumentsRequest(
        settings=analysis_pb2.AnalyzeDocumentsSettings(embeddings=[analysis_pb2.EmbeddingTask()])
    )
    document = analysis_pb2.AnalyzeDocumentsRequest(document=text_pb2.Text(content="gut"))
    await read_all(AnalysisService(registry).AnalyzeDocuments(stream(settings, document), cast("Any", None)))
    assert engine.calls == [(1, None, Caller("ipv4:10.0.0.1"))]


async def test_the_end_of_the_worker_ends_a_wait(engine: FullEngine) -> None:
    begin_call("test")
    engine.error, engine.refusals = Draining("ending"), 1
    selected = SelectedModel(cast("Any", engine), "digest", "generation")
    with pytest.raises(Draining):
        await wait_for_room(selected, ["gut"], Options(), Lane.BULK, Caller())


@pytest.mark.parametrize(
    ("peer", "name", "certificate", "expected"),
    [
        ("ipv4:10.0.0.1:5000", "", "", Caller("ipv4:10.0.0.1")),
        ("ipv4:10.0.0.1:5001", "study", "", Caller("ipv4:10.0.0.1", "study")),
        ("ipv6:%5B::1%5D:5000", "", "", Caller("ipv6:%5B::1%5D")),
        ("unix:", "study", "", Caller("unix:", "study")),
        ("ipv4:10.0.0.1:5000", "study", "gateway", Caller("gateway", "study")),
        ("ipv4:10.0.0.9:5000", "", "gateway", Caller("gateway")),
        ("ipv4:10.0.0.1:5000", "ipv4:10.0.0.2:5000", "", Caller("ipv4:10.0.0.1", "ipv4:10.0.0.2:5000")),
    ],
)
def test_a_name_that_costs_nothing_counts_only_below_the_host(
    peer: str, name: str, certificate: str, expected: Caller
) -> None:
    record = CallRecord("test", peer=peer, caller=name or peer, peer_name=certificate)
    assert fairness_key(record) == expected


async def test_the_record_of_a_stream_names_its_model(engine: FullEngine, registry: ModelRegistry) -> None:
    request = embedding_pb2.EmbedStreamRequest(texts=TEXTS)
    await read_all(EmbeddingService(registry).EmbedStream(request, cast("Any", None)))
    assert (current_call().model, current_call().items) == ("tiny", 3)


@pytest.mark.parametrize(
    ("contents", "lane"),
    [
        (["gut"], Lane.INTERACTIVE),
        (["gut"] * LARGE_CALL_TEXTS, Lane.INTERACTIVE),
        (["gut"] * (LARGE_CALL_TEXTS + 1), Lane.BULK),
        (["x" * 72] * 200, Lane.INTERACTIVE),
        (
            ["x" * (LARGE_CALL_CHARACTERS + 1)],
            Lane.INTERACTIVE,
        ),  # the model reads 9 tokens, 72 characters at most
    ],
)
async def test_a_unary_call_without_a_priority_has_the_lane_of_its_size(
    engine: FullEngine, registry: ModelRegistry, contents: list[str], lane: Lane
) -> None:
    engine.refusals = 0
    begin_call("test")
    texts = [text_pb2.Text(content=content) for content in contents]
    context = cast("Any", SimpleNamespace(time_remaining=lambda: None))
    for priority in (processing_pb2.PRIORITY_UNSPECIFIED, *PRIORITIES):
        await EmbeddingService(registry).Embed(
            embedding_pb2.EmbedRequest(texts=texts, priority=priority), context
        )
    assert engine.lanes == [lane, *PRIORITIES.values()]


def test_the_characters_that_the_model_reads_decide_about_long_texts() -> None:
    info = replace(FullEngine().info, max_length=LARGE_CALL_CHARACTERS)
    half = "x" * (LARGE_CALL_CHARACTERS // 2)
    assert lane_by_size([half, half], Options(), info) is Lane.INTERACTIVE
    assert lane_by_size([half, half, "x"], Options(), info) is Lane.BULK
    windows = Options(LongText.WINDOW)
    assert lane_by_size(["x" * LARGE_CALL_CHARACTERS * 2], windows, FullEngine().info) is Lane.BULK
