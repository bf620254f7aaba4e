"""The messages of FindParaphrases, a bidirectional stream, in both directions. No I/O here; both clients share it.

The request is a message with the settings, then messages with chunks of texts. The response is a header, then problems
and pairs, then a summary. A search that breaks is repeated from the beginning by the transports, each time with a new
`ParaphraseCollector`, so that pairs of two attempts are never mixed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from qda.v1 import paraphrase_pb2, text_pb2
from qda_worker.client import from_proto, proto_enums
from qda_worker.client.chunks import chunk_slices, field_overhead
from qda_worker.client.enums import LongTexts, Priority
from qda_worker.client.errors import InvalidRequest, ServerFailed, Violation
from qda_worker.client.item_problems import Problems, with_problem
from qda_worker.client.results import Paraphrase, Paraphrases, Provenance, TextProblem
from qda_worker.client.texts import Text, text_messages
from qda_worker.limits import MAX_REQUEST_BYTES, MAX_SET_TEXTS

# Texts in one message of the stream. The worker encodes the first ones while the next ones are in transit.
_CHUNK_TEXTS: Final = 1_000

# Bytes of a message for its texts, beside the number of the set and the header of the chunk.
_CHUNK_BYTES: Final = MAX_REQUEST_BYTES - 2 - field_overhead(MAX_REQUEST_BYTES)


@dataclass(frozen=True, slots=True)
class Search:
    """One search.

    Attributes:
        messages: the whole request, in its order.
        problems: the texts of the first set that are not sent.
        other_problems: the same for the second set.
    """

    messages: Sequence[paraphrase_pb2.FindParaphrasesRequest]
    problems: Problems
    other_problems: Problems


def search_request(
    texts: Iterable[str | Text],
    others: Iterable[str | Text] | None,
    *,
    threshold: float | None,
    best: int | None,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    prompt_name: str = "",
) -> Search:
    """Return the search; see `Client.find_paraphrases` for the arguments.

    Raises:
        InvalidRequest: when threshold and best are both missing, an argument is out of its range, a set is too large.
    """
    if threshold is None and best is None:
        raise _invalid("threshold", "and best are both missing; the result would be every pair")
    if threshold is not None and not -1 <= threshold <= 1:
        raise _invalid("threshold", f"is {threshold}; a cosine is from -1 to 1")
    if best is not None and best < 1:
        raise _invalid("best", f"is {best}; it must be at least 1")
    settings = paraphrase_pb2.FindParaphrasesSettings(
        model=model,
        long_text_policy=proto_enums.to_number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        threshold=threshold,
        best_count=best,
        prompt_name=prompt_name,
    )
    if priority is not None:
        settings.priority = proto_enums.to_number(proto_enums.PRIORITIES, priority, "priority")
    messages = [paraphrase_pb2.FindParaphrasesRequest(settings=settings)]
    search = Search(messages, {}, {})
    first = _text_set(texts, search.problems, "texts")
    messages.extend(_chunk_messages(first, paraphrase_pb2.TEXT_SET_FIRST))
    if others is not None:
        second = _text_set(others, search.other_problems, "others")
        messages.extend(_chunk_messages(second, paraphrase_pb2.TEXT_SET_SECOND))
    return search


class ParaphraseCollector:
    """Combines the messages of one response."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._provenance: Provenance | None = None
        self._problems: list[TextProblem] = []
        self._pairs: list[Paraphrase] = []
        self._summary: paraphrase_pb2.FindParaphrasesSummary | None = None

    @property
    def started(self) -> bool:
        """Whether the response has begun to arrive."""
        return self._provenance is not None

    def add(self, response: paraphrase_pb2.FindParaphrasesResponse) -> None:
        """Add the next message."""
        match response.WhichOneof("part"):
            case "header":
                self._provenance = from_proto.provenance(response.header.provenance)
            case "problem":
                problem = from_proto.text_problem(response.problem)
                own = self._search.other_problems if problem.in_others else self._search.problems
                self._problems.append(with_problem(problem, own.get(problem.index)))
            case "pairs":
                self._pairs.extend(
                    Paraphrase(pair.first_index, pair.second_index, pair.score)
                    for pair in response.pairs.pairs
                )
            case "summary":
                self._summary = response.summary

    def result(self) -> Paraphrases:
        """Return the complete result.

        Raises:
            ServerFailed: when the stream ended without its header or its summary, so that pairs may be missing.
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


def _text_set(texts: Iterable[str | Text], problems: Problems, name: str) -> list[text_pb2.Text]:
    messages = text_messages(texts, problems, name)
    if len(messages) > MAX_SET_TEXTS:
        raise InvalidRequest(
            f"{name} holds {len(messages):,} texts; a search takes {MAX_SET_TEXTS:,} at most",
            reason="TOO_MANY_TEXTS",
            remedy="split the texts into parts; search within each part, and between each two as texts and others",
        )
    return messages


def _chunk_messages(
    texts: Sequence[text_pb2.Text], text_set: paraphrase_pb2.TextSet.ValueType
) -> Iterator[paraphrase_pb2.FindParaphrasesRequest]:
    sizes = [text.ByteSize() for text in texts]
    for chunk in chunk_slices(sizes, _CHUNK_TEXTS, _CHUNK_BYTES):
        text_chunk = paraphrase_pb2.TextChunk(texts=texts[chunk], set=text_set)
        yield paraphrase_pb2.FindParaphrasesRequest(texts=text_chunk)


def _invalid(field: str, description: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {description}", violations=[Violation(field, description)])
