"""Each text is tokenized once, also if its tokens are counted before it is computed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, Final, cast

import numpy as np
import pytest

from model_cache.catalog.catalog import HuggingFaceSource, Model, Task
from qda.v1 import embedding_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.errors import ArgumentInvalid
from qda_worker.models.base import (
    ModelInfo,
    Options,
    PreparedText,
    TextResult,
    VectorKind,
    model_info,
    usage_in_tokens,
)
from qda_worker.models.vectors import SparseWeights, TextVectors
from qda_worker.observability.call_record import begin_call
from qda_worker.registry.engine import Engine
from qda_worker.registry.registry import ModelRegistry, SelectedModel
from qda_worker.scheduling.queue import ModelQueue
from qda_worker.services.embedding import EmbeddingService
from tests.support.echo_model import EchoModel
from tests.support.queue_harness import WAIT

ALL: Final = (pb.EMBEDDING_KIND_DENSE, pb.EMBEDDING_KIND_SPARSE, pb.EMBEDDING_KIND_MULTI_VECTOR)
WINDOW: Final = text_pb2.LONG_TEXT_POLICY_WINDOW
# Bytes of a token of the vocabulary, with which the bound of a response is soon reached.
TOKEN_BYTES: Final = 5000


class CountingModel(EchoModel):
    """Gives a text vectors of its length, and counts how often it prepares each text."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: Counter[str] = Counter()

    @property
    def info(self) -> ModelInfo:
        model = Model("tiny", Task.EMBEDDING, HuggingFaceSource("qda-test/tiny", "0" * 40, ()))
        return model_info(
            model,
            max_length=4000,
            dimension=2,
            vector_kinds=list(VectorKind),
            multi_dimension=2,
            max_token_bytes=TOKEN_BYTES,
        )

    def prepare(self, text: str, options: Options) -> PreparedText[str]:
        self.prepared[text] += 1
        return super().prepare(text, options)

    def finish(self, text: str, prepared: PreparedText[str], outputs: Sequence[str]) -> TextResult[Any]:
        length = np.full((prepared.length, 2), len(text), np.float32)
        sparse = SparseWeights(np.array([len(text)], np.int32), np.ones(1, np.float32), ("token",))
        return TextResult(TextVectors(length[0], sparse, length), usage_in_tokens(prepared))


@pytest.fixture
def model() -> CountingModel:
    return CountingModel()


@pytest.fixture
def service(model: CountingModel) -> Iterator[EmbeddingService]:
    with ThreadPoolExecutor(1) as pool:
        queue: ModelQueue[str, str, Any] = ModelQueue(model, pool)
        selected = SelectedModel(Engine(model, queue), "digest", "generation")
        begin_call("test")
        yield EmbeddingService(cast("ModelRegistry", SimpleNamespace(select=lambda _key, _task: selected)))
        assert queue.close(drain=False, timeout=WAIT)


CONTEXT: Final = cast("Any", SimpleNamespace(time_remaining=lambda: None))
CONTENTS: Final = [*(f"text {number}" for number in range(40)), "text 7", "", "odd?", "bad!"]
FAILED: Final = {"": "TEXT_EMPTY", "odd?": "MODEL_FAILED", "bad!": "MODEL_FAILED"}


def texts(contents: Sequence[str]) -> list[text_pb2.Text]:
    return [text_pb2.Text(content=content, id=content) for content in contents]


@pytest.mark.parametrize("kinds", [ALL[1:2], ALL[2:], ALL])
@pytest.mark.parametrize("policy", [WINDOW, text_pb2.LONG_TEXT_POLICY_CUT])
async def test_embed_tokenizes_each_text_once(
    model: CountingModel,
    service: EmbeddingService,
    kinds: Sequence[pb.EmbeddingKind.ValueType],
    policy: text_pb2.LongTextPolicy.ValueType,
) -> None:
    request = pb.EmbedRequest(
        texts=texts(CONTENTS), options=pb.EmbeddingOptions(kinds=kinds), long_text_policy=policy
    )
    response = await service.Embed(request, CONTEXT)
    assert model.prepared == Counter(set(CONTENTS))
    for content, result in zip(CONTENTS, response.results, strict=True):
        assert result.HasField("status") == (content in FAILED)
        if content not in FAILED:
            assert result.sparse.token_ids == [len(content)]
            assert result.multi_vector.shape == [len(content), 2]
    assert response.timings.tokenize_duration.ToNanoseconds() > 0


@pytest.mark.parametrize("kinds", [ALL[:1], ALL[1:2], ALL[2:], ALL])
async def test_a_stream_tokenizes_each_text_once(
    model: CountingModel, service: EmbeddingService, kinds: Sequence[pb.EmbeddingKind.ValueType]
) -> None:
    contents = [*(f"text {number}" for number in range(300)), *CONTENTS[40:]]
    request = pb.EmbedStreamRequest(texts=texts(contents), options=pb.EmbeddingOptions(kinds=kinds))
    items = [part.item async for part in service.EmbedStream(request, CONTEXT) if part.HasField("item")]
    assert [item.id for item in items] == contents
    assert [item.id for item in items if item.HasField("status")] == ["", "odd?", "bad!"]
    counts = Counter(set(contents))
    if pb.EMBEDDING_KIND_MULTI_VECTOR not in kinds:
        counts["text 7"] = 2  # the parts of the stream are calls of their own for the queue
    assert model.prepared == counts


async def test_a_response_that_may_be_too_large_is_refused_before_anything_is_computed(
    model: CountingModel, service: EmbeddingService
) -> None:
    contents = [f"{number:04}" * 500 for number in range(10)]
    options = pb.EmbeddingOptions(kinds=[pb.EMBEDDING_KIND_SPARSE])
    with pytest.raises(ArgumentInvalid, match="could have"):
        await service.Embed(
            pb.EmbedRequest(
                texts=[text_pb2.Text(content=each) for each in contents],
                options=options,
                long_text_policy=WINDOW,
            ),
            CONTEXT,
        )
    assert not model.batches
    assert max(model.prepared.values()) == 1
