"""A search for paraphrases: the parts that are sent, and the answer that the parts make up. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from qda.v1 import paraphrase_pb2, text_pb2
from qda_worker.client import from_proto, proto_enums
from qda_worker.client.enums import LongTexts, Priority
from qda_worker.client.errors import InvalidRequest, ServerFailed, Violation
from qda_worker.client.requests import field_overhead, spans
from qda_worker.client.results import Paraphrase, Paraphrases, Provenance, TextProblem
from qda_worker.client.texts import Text, text_messages
from qda_worker.limits import MAX_REQUEST_BYTES, MAX_SET_TEXTS

_CHUNK_TEXTS: Final = (
    1_000  # texts in one part of the stream; the worker encodes the first while the next ones travel
)


def search_parts(
    texts: Iterable[str | Text],
    others: Iterable[str | Text] | None,
    *,
    threshold: float | None,
    best: int | None,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
) -> list[paraphrase_pb2.FindParaphrasesRequest]:
    """All parts of the request, in their order.

    Raises:
        InvalidRequest: neither threshold nor best, one out of its range, a set too large, or a text that cannot be
            sent.
    """
    if threshold is None and best is None:
        raise _invalid("threshold", "and best are both missing, so that every pair would be asked for")
    if threshold is not None and not -1 <= threshold <= 1:
        raise _invalid("threshold", f"is {threshold}; a cosine is from -1 to 1")
    if best is not None and best < 1:
        raise _invalid("best", f"is {best}; at least 1 partner must be asked for")
    settings = paraphrase_pb2.FindParaphrasesSettings(
        model=model,
        long_text_policy=proto_enums.number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        threshold=threshold,
        best_count=best,
    )
    if priority is not None:
        settings.priority = proto_enums.number(proto_enums.PRIORITIES, priority, "priority")
    parts = [paraphrase_pb2.FindParaphrasesRequest(settings=settings)]
    parts.extend(_chunks(_set_messages(texts, "texts"), paraphrase_pb2.TEXT_SET_FIRST))
    if others is not None:
        parts.extend(_chunks(_set_messages(others, "others"), paraphrase_pb2.TEXT_SET_SECOND))
    return parts


class Collection:
    """The answer so far; its parts are added as they arrive."""

    def __init__(self) -> None:
        self._provenance: Provenance | None = None
        self._problems: list[TextProblem] = []
        self._pairs: list[Paraphrase] = []
        self._summary: paraphrase_pb2.FindParaphrasesSummary | None = None

    @property
    def begun(self) -> bool:
        """Whether any part of an answer has arrived."""
        return self._provenance is not None

    def add(self, response: paraphrase_pb2.FindParaphrasesResponse) -> None:
        """Takes in one part."""
        match response.WhichOneof("part"):
            case "header":
                self._provenance = from_proto.provenance(response.header.provenance)
            case "problem":
                self._problems.append(from_proto.text_problem(response.problem))
            case "pairs":
                self._pairs.extend(
                    Paraphrase(pair.first_index, pair.second_index, pair.score)
                    for pair in response.pairs.pairs
                )
            case "summary":
                self._summary = response.summary

    def paraphrases(self) -> Paraphrases:
        """The whole answer.

        Raises:
            ServerFailed: the stream ended without its header or its summary, so that pairs may be missing.
        """
        summary = self._summary
        if self._provenance is None or summary is None:
            raise ServerFailed("the stream of paraphrases ended before its summary")
        return Paraphrases(
            pairs=tuple(self._pairs),
            problems=tuple(self._problems),
            provenance=self._provenance,
            encoded_texts=summary.encoded_text_count,
            cut_texts=summary.cut_text_count,
            windowed_texts=summary.windowed_text_count,
            timings=from_proto.timings(summary.timings),
        )


def _set_messages(texts: Iterable[str | Text], name: str) -> list[text_pb2.Text]:
    messages = text_messages(texts, name)
    if len(messages) > MAX_SET_TEXTS:
        raise InvalidRequest(
            f"{name} holds {len(messages):,} texts; a search takes {MAX_SET_TEXTS:,} at most",
            reason="TOO_MANY_TEXTS",
            remedy="search in parts: each part in itself, and each two parts as texts and others",
        )
    return messages


def _chunks(
    messages: Sequence[text_pb2.Text], of_set: paraphrase_pb2.TextSet.ValueType
) -> Iterator[paraphrase_pb2.FindParaphrasesRequest]:
    sizes = [message.ByteSize() for message in messages]
    room = (
        MAX_REQUEST_BYTES - 2 - field_overhead(MAX_REQUEST_BYTES)
    )  # the set's field, and the chunk as a field itself
    for span in spans(sizes, _CHUNK_TEXTS, room):
        chunk = paraphrase_pb2.TextChunk(texts=messages[span], set=of_set)
        yield paraphrase_pb2.FindParaphrasesRequest(texts=chunk)


def _invalid(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {what}", violations=[Violation(field, what)])
