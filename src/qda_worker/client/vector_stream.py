"""Streams of vectors that outlive their worker: texts without vectors yet are asked for again at the next one.

Pure but for the caller's iterator; the clients carry requests and parts. Memory holds the texts of one request and the
vectors of one text, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from qda.v1 import embedding_pb2, text_pb2
from qda_worker.client import reading, vectors, wire_words
from qda_worker.client.choices import EmbeddingKind, LongTexts, Numbers, Priority
from qda_worker.client.chunking import field_overhead
from qda_worker.client.errors import ServerFailed
from qda_worker.client.jobs import embedding_options
from qda_worker.client.results import Answer, Embedding, Matrix, Provenance, Timings
from qda_worker.limits import MAX_REQUEST_BYTES

_REQUEST_TEXTS = 2_000  # texts of one stream; the next one waits for its end, so not too few


class VectorStreams:
    """The requests that the caller's texts make, one after the other, and what their parts bring."""

    def __init__(self, texts: Iterable[text_pb2.Text], base: embedding_pb2.EmbedStreamRequest) -> None:
        self._texts = iter(texts)
        self._base = base
        self._asked: list[text_pb2.Text] = []
        self._part = _OneStream()
        self.provenances: list[Provenance] = []
        self.timings = Timings()

    @property
    def fruitful(self) -> bool:
        """Whether the present stream has brought a result."""
        return self._part.items > 0

    def request(self) -> embedding_pb2.EmbedStreamRequest | None:
        """The next request: texts that the last stream left without a result, else new ones; None at the end."""
        waiting = self._asked[self._part.items :]
        self._part = _OneStream()
        self._asked = waiting or self._next_chunk()
        if not self._asked:
            return None
        request = embedding_pb2.EmbedStreamRequest(texts=self._asked)
        request.MergeFrom(self._base)
        return request

    def read(self, response: embedding_pb2.EmbedStreamResponse) -> Embedding | None:
        """The vectors of the text that this part ends; None if it ends none. Raises ServerFailed."""
        match response.WhichOneof("part"):
            case "header":
                made_by = reading.provenance(response.header.provenance)
                if made_by not in self.provenances:
                    self.provenances.append(made_by)
            case "rows":
                self._part.add(response.rows)
            case "item":
                return self._part.end_text(response.item)
            case "trailer":
                self.timings = self.timings.joined(reading.timings(response.trailer.timings))
                self._part.ended = True
        return None

    def end(self) -> None:
        """The stream has ended well. Raises ServerFailed where texts have no result."""
        missing = len(self._asked) - self._part.items
        if missing or not self._part.ended:
            raise ServerFailed(f"the stream of vectors ended without those of {missing} texts")

    def answer(self, results: Sequence[Embedding]) -> Answer[Embedding]:
        """The results that were read, with who made them."""
        return Answer(tuple(results), tuple(self.provenances), self.timings)

    def _next_chunk(self) -> list[text_pb2.Text]:
        """As many texts as one request takes."""
        room = MAX_REQUEST_BYTES - self._base.ByteSize()
        chunk: list[text_pb2.Text] = []
        for text in self._texts:
            size = text.ByteSize()
            room -= size + field_overhead(size)
            if chunk and room < 0:
                self._texts = chain([text], self._texts)
                break
            chunk.append(text)
            if len(chunk) == _REQUEST_TEXTS:
                break
        return chunk


def vector_streams(
    texts: Iterable[text_pb2.Text],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    kinds: Sequence[EmbeddingKind],
    normalize: bool | None,
    dimensions: int,
    numbers: Numbers,
) -> VectorStreams:
    """The streams that bring these vectors. Raises InvalidRequest."""
    base = embedding_pb2.EmbedStreamRequest(
        model=model,
        long_text_policy=wire_words.number(wire_words.LONG_TEXTS, long_texts, "long_texts"),
        options=embedding_options(kinds, normalize, dimensions, numbers),
    )
    if priority is not None:
        base.priority = wire_words.number(wire_words.PRIORITIES, priority, "priority")
    return VectorStreams(texts, base)


class _OneStream:
    """What the present stream has brought: `items` texts, and some rows of the next one."""

    def __init__(self) -> None:
        self.items = 0
        self.ended = False
        self._rows: dict[int, list[Matrix]] = {}

    def add(self, part: embedding_pb2.EmbedStreamRows) -> None:
        before = self._rows.setdefault(part.kind, [])
        if part.item_index != self.items or part.row_offset != sum(map(len, before)):
            raise ServerFailed(
                f"the worker sent rows from {part.row_offset} of text {part.item_index} where those from "
                f"{sum(map(len, before))} of text {self.items} were due"
            )
        before.append(vectors.matrix(part.rows))

    def end_text(self, item: embedding_pb2.EmbedStreamItem) -> Embedding:
        rows, self._rows = self._rows, {}
        multi = rows.get(embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR, [])
        if item.item_index != self.items or item.multi_vector_row_count != sum(map(len, multi)):
            raise ServerFailed(f"the worker ended text {item.item_index} with {sum(map(len, multi))} rows")
        self.items += 1
        dense = rows.get(embedding_pb2.EMBEDDING_KIND_DENSE)
        return reading.streamed_embedding(
            item, dense[0][0] if dense else None, vectors.joined(multi) if multi else None
        )
