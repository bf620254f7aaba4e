"""The state of an `embed_stream` call, which continues on another worker when its stream breaks.

The call opens one EmbedStream after the other. Each sends a chunk of the caller's texts and receives for each text its
rows, in parts of at most 1 MiB, and an item that ends it. Texts that a broken stream left without a result are sent
again in the next one; the rows of an incomplete text are dropped. The transports open the streams, pass each response
to `VectorStreams.read` and decide with `retry.StreamRetry` whether to go on. Memory holds the texts of one chunk and
the vectors of one text.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from qda.v1 import embedding_pb2, text_pb2
from qda_worker.client import from_proto, proto_enums, vectors
from qda_worker.client.chunks import field_overhead
from qda_worker.client.enums import EmbeddingKind, LongTexts, Numbers, Priority
from qda_worker.client.errors import ServerFailed
from qda_worker.client.item_problems import Problems, with_problem
from qda_worker.client.requests import embedding_options
from qda_worker.client.results import Answer, Embedding, Matrix, Provenance, Timings
from qda_worker.client.texts import Text, iter_text_messages, text_messages
from qda_worker.limits import MAX_REQUEST_BYTES

# Texts in one EmbedStream. Streams follow each other without overlap, so short ones would leave the worker idle.
_STREAM_TEXTS: Final = 2_000


def vector_streams(
    texts: Iterable[str | Text],
    *,
    whole_list: bool = False,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    kinds: Sequence[EmbeddingKind],
    normalize: bool | None,
    dimensions: int,
    numbers: Numbers,
    prompt_name: str,
) -> "VectorStreams":
    """Return the streams that compute the vectors of texts; see `Client.embed_stream` for the arguments.

    Args:
        texts: read as the streams need them, unless `whole_list` is set.
        whole_list: whether to read all texts at once, so that their number is known.

    Raises:
        InvalidRequest: when an argument is invalid, or a whole list is empty.
    """
    base = embedding_pb2.EmbedStreamRequest(
        model=model,
        long_text_policy=proto_enums.to_number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        options=embedding_options(kinds, normalize, dimensions, numbers),
        prompt_name=prompt_name,
    )
    if priority is not None:
        base.priority = proto_enums.to_number(proto_enums.PRIORITIES, priority, "priority")
    problems: Problems = {}
    if whole_list:
        messages = text_messages(texts, problems)
        return VectorStreams(messages, base, problems, len(messages))
    return VectorStreams(iter_text_messages(texts, problems), base, problems)


class VectorStreams:
    """Makes the requests of one EmbedStream after the other, and reads their responses.

    Attributes:
        total: number of all texts; 0 if it is not known.
    """

    def __init__(
        self,
        texts: Iterable[text_pb2.Text],
        base: embedding_pb2.EmbedStreamRequest,
        problems: Problems,
        total: int = 0,
    ) -> None:
        self.total = total
        self._texts = iter(texts)
        self._problems = problems
        self._result_count = 0
        self._base = base
        self._chunk: list[text_pb2.Text] = []
        self._stream = _VectorStream()
        self._provenances: list[Provenance] = []
        self._timings = Timings()

    @property
    def made_progress(self) -> bool:
        """Whether the current stream has brought a result."""
        return self._stream.result_count > 0

    def next_request(self) -> embedding_pb2.EmbedStreamRequest | None:
        """Return the request of the next stream; None if every text has its result.

        It contains the texts that the last stream left without a result, else the caller's next ones.
        """
        unanswered = self._chunk[self._stream.result_count :]
        self._stream = _VectorStream()
        self._chunk = unanswered or self._next_chunk()
        if not self._chunk:
            return None
        request = embedding_pb2.EmbedStreamRequest(texts=self._chunk)
        request.MergeFrom(self._base)
        return request

    def read(self, response: embedding_pb2.EmbedStreamResponse) -> Embedding | None:
        """Return the vectors of the text that a response completes; None if it completes none.

        Raises:
            ServerFailed: when the response does not continue the ones before it.
        """
        match response.WhichOneof("part"):
            case "header":
                provenance = from_proto.provenance(response.header.provenance)
                if provenance not in self._provenances:
                    self._provenances.append(provenance)
            case "rows":
                self._stream.add_rows(response.rows)
            case "item":
                result = self._stream.end_text(response.item)
                self._result_count += 1
                return with_problem(result, self._problems.pop(self._result_count - 1, None))
            case "trailer":
                self._timings = self._timings.joined(from_proto.timings(response.trailer.timings))
                self._stream.ended = True
        return None

    def end(self) -> None:
        """Check a stream that ended with the status OK.

        Raises:
            ServerFailed: when texts have no result, or the trailer is missing.
        """
        missing = len(self._chunk) - self._stream.result_count
        if missing or not self._stream.ended:
            raise ServerFailed(f"the stream of vectors ended without those of {missing} texts")

    def answer(self, results: Sequence[Embedding]) -> Answer[Embedding]:
        """Return the results that were read, with provenances and timings of all streams."""
        return Answer(tuple(results), tuple(self._provenances), self._timings)

    def single_answer(self, result: Embedding) -> Answer[Embedding]:
        """Return one result with the models so far, without timings."""
        return Answer((result,), tuple(self._provenances), Timings())

    def _next_chunk(self) -> list[text_pb2.Text]:
        """Return the caller's next texts, as many as fit into one request."""
        free_bytes = MAX_REQUEST_BYTES - self._base.ByteSize()
        chunk: list[text_pb2.Text] = []
        for text in self._texts:
            size = text.ByteSize()
            free_bytes -= size + field_overhead(size)
            if chunk and free_bytes < 0:
                self._texts = chain([text], self._texts)
                break
            chunk.append(text)
            if len(chunk) == _STREAM_TEXTS:
                break
        return chunk


class _VectorStream:
    """What one stream has brought: the results of `result_count` texts, and some rows of the next text."""

    def __init__(self) -> None:
        self.result_count = 0
        self.ended = False
        self._rows: dict[int, list[Matrix]] = {}

    def add_rows(self, rows: embedding_pb2.EmbedStreamRows) -> None:
        parts = self._rows.setdefault(rows.kind, [])
        row_count = sum(map(len, parts))
        if rows.item_index != self.result_count or rows.row_offset != row_count:
            raise ServerFailed(
                f"the worker sent rows from {rows.row_offset} of text {rows.item_index} instead of rows from "
                f"{row_count} of text {self.result_count}"
            )
        parts.append(vectors.matrix(rows.rows))

    def end_text(self, item: embedding_pb2.EmbedStreamItem) -> Embedding:
        rows, self._rows = self._rows, {}
        multi = rows.get(embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR, [])
        row_count = sum(map(len, multi))
        if item.item_index != self.result_count or item.multi_vector_row_count != row_count:
            raise ServerFailed(f"the worker ended text {item.item_index} with {row_count} rows")
        self.result_count += 1
        dense = rows.get(embedding_pb2.EMBEDDING_KIND_DENSE)
        return from_proto.streamed_embedding(
            item, dense[0][0] if dense else None, vectors.concatenate(multi) if multi else None
        )
