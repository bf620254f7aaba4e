"""The parts of a stream of vectors: what no message could hold is an error of its own text."""

from typing import Any, Final

import numpy as np

from qda.v1 import embedding_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.embedding import parts_of, vectors_asked
from qda_worker.models.base import LongText, ModelInfo, Usage
from qda_worker.models.vectors import SparseWeights, TextVectors
from qda_worker.scheduling.jobs import Answered, Timings

INFO: Final[Any] = ModelInfo("m", "embedding", "s", "r", "fp32", None, 64)  # type: ignore[arg-type]  # words will do


def parts(tokens: int, most_bytes: int) -> list[pb.EmbedStreamResponse]:
    weights = SparseWeights(
        np.arange(tokens, dtype=np.int32), np.ones(tokens, np.float32), ("▁Wort",) * tokens
    )
    vectors = TextVectors(np.ones(4, np.float32), sparse=weights)
    asked = vectors_asked(
        pb.EmbeddingOptions(kinds=[pb.EMBEDDING_KIND_DENSE, pb.EMBEDDING_KIND_SPARSE]), LongText.WINDOW
    )
    outcome = Answered(vectors, Usage(tokens, tokens, False, 9), Timings())
    text = text_pb2.Text(content="x", id="long")
    return list(parts_of(0, text, outcome, INFO, asked, most_bytes))


def test_a_sparse_vector_that_no_message_could_hold_is_its_texts_own_error() -> None:
    *_, last = parts(1_000, most_bytes=10_000)
    assert last.ByteSize() < 10_000
    assert last.item.id == "long"
    assert not last.item.HasField("sparse")
    assert last.item.status.message.startswith("TEXT_TOO_LONG: its sparse vector takes ")
    assert last.item.status.message.endswith("Remedy: split the text, or ask for the long-text policy CUT")


def test_a_sparse_vector_that_fits_a_message_travels_with_its_text() -> None:
    *_, last = parts(1_000, most_bytes=20_000)
    assert last.ByteSize() <= 20_000
    assert len(last.item.sparse.token_ids) == 1_000
    assert not last.item.HasField("status")
