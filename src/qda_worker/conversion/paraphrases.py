"""ScorePairs and FindParaphrases: the requests as values, scores and pairs as messages.

The request of FindParaphrases is a stream: settings first, then two sets of texts in chunks. It is read to its end
before the search begins, so its size is bounded in texts and bytes.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from google.rpc import status_pb2

from qda.v1 import paraphrase_pb2 as pb
from qda_worker.conversion.metadata import build_provenance, build_timings, build_usage
from qda_worker.conversion.request_fields import (
    check_count,
    check_ids,
    parse_long_text_policy,
    parse_priority,
    parse_texts,
)
from qda_worker.conversion.rpc_status import build_status
from qda_worker.encoded_sets import EncodedSets
from qda_worker.errors import ArgumentInvalid, TooManyTexts, Violation
from qda_worker.limits import MAX_SEARCH_BYTES, MAX_SET_TEXTS, MAX_TEXTS
from qda_worker.models.pair_search import Pairs, pair_scores
from qda_worker.models.vectors import VectorOptions
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Failure, Lane, Outcome, Success

# Pairs in one message: at most 17 bytes each with indices below 100,000, so about half of the 1 MiB that the proto
# promises.
MAX_CHUNK_PAIRS: Final = 32_768

_TEXT_SETS: Final = (pb.TEXT_SET_FIRST, pb.TEXT_SET_SECOND)


@dataclass(frozen=True, slots=True)
class PairOfTexts:
    """One pair: its id, and the positions of its two texts in `PairScoresRequest.contents`."""

    id: str
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class PairScoresRequest:
    """A parsed ScorePairsRequest.

    Attributes:
        pairs: the pairs to score.
        contents: the distinct texts of all pairs, by first appearance; each is computed once.
        model: the key of the model; empty for the default.
        options: for the model.
        lane: the lane of the queue; None: by the size of the call.
    """

    pairs: tuple[PairOfTexts, ...]
    contents: tuple[str, ...]
    model: str
    options: VectorOptions
    lane: Lane | None


@dataclass(frozen=True, slots=True)
class ParaphraseSearchRequest:
    """The parsed settings of a FindParaphrases stream. At least one of `threshold` and `best_count` is set.

    Attributes:
        model: the key of the model; empty for the default.
        options: for the model.
        lane: the lane of the queue.
        threshold: the lowest cosine of a pair, from -1 to 1.
        best_count: the most partners of each text, at least 1.
    """

    model: str
    options: VectorOptions
    lane: Lane
    threshold: float | None
    best_count: int | None


@dataclass(slots=True)
class TextSet:
    """The texts of one set with their ids, by position. Grows while the stream is read."""

    contents: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


def parse_score_pairs(request: pb.ScorePairsRequest) -> PairScoresRequest:
    """Parse a ScorePairsRequest. An empty text is allowed: it fails only its own pairs.

    Raises:
        InvalidRequest: when a field is missing or out of range.
    """
    check_count(len(request.pairs), "pairs", MAX_TEXTS // 2)
    check_ids(request.pairs, "pairs")
    _check_sides(request.pairs)
    options = VectorOptions(parse_long_text_policy(request.long_text_policy), prompt_name=request.prompt_name)
    lane = parse_priority(request.priority, None)
    positions: dict[str, int] = {}
    pairs = tuple(
        PairOfTexts(
            pair.id,
            positions.setdefault(pair.first.content, len(positions)),
            positions.setdefault(pair.second.content, len(positions)),
        )
        for pair in request.pairs
    )
    return PairScoresRequest(pairs, tuple(positions), request.model, options, lane)


def _check_sides(pairs: Sequence[pb.TextPair]) -> None:
    missing = [
        Violation(f"pairs[{index}].{side}", "is missing")
        for index, pair in enumerate(pairs)
        for side in ("first", "second")
        if not pair.HasField(side)
    ]
    if missing:
        raise ArgumentInvalid(
            f"{missing[0].field} is missing", "send both texts of each pair", violations=missing
        )


def parse_search(part: pb.FindParaphrasesRequest | None) -> ParaphraseSearchRequest:
    """Parse the first part of a FindParaphrases stream; None is an empty stream.

    Raises:
        ArgumentInvalid: when it is not settings, or a field is out of range.
    """
    if part is None:
        raise ArgumentInvalid("the stream is empty", "send settings, then texts")
    if part.WhichOneof("part") != "settings":
        raise ArgumentInvalid("the stream does not begin with settings", "send settings before any texts")
    settings = part.settings
    threshold = settings.threshold if settings.HasField("threshold") else None
    best_count = settings.best_count if settings.HasField("best_count") else None
    _check_criteria(threshold, best_count)
    return ParaphraseSearchRequest(
        model=settings.model,
        options=VectorOptions(
            parse_long_text_policy(settings.long_text_policy), prompt_name=settings.prompt_name
        ),
        lane=parse_priority(settings.priority, Lane.BULK),
        threshold=threshold,
        best_count=best_count,
    )


def _check_criteria(threshold: float | None, best_count: int | None) -> None:
    if threshold is None and best_count is None:
        raise ArgumentInvalid(
            "the settings have neither threshold nor best_count", "set at least one of them",
            violations=[Violation("settings.threshold", "or settings.best_count is required")],
        )  # fmt: skip
    if threshold is not None and not -1.0 <= threshold <= 1.0:  # also refuses NaN
        raise ArgumentInvalid(
            f"settings.threshold is {threshold}", "use a cosine from -1 to 1",
            violations=[Violation("settings.threshold", "must be between -1 and 1")],
        )  # fmt: skip
    if best_count is not None and best_count < 1:
        raise ArgumentInvalid(
            f"settings.best_count is {best_count}", "use at least 1, or leave it out",
            violations=[Violation("settings.best_count", "must be at least 1")],
        )  # fmt: skip


async def parse_text_sets(
    requests: AsyncIterator[pb.FindParaphrasesRequest], max_bytes: int = MAX_SEARCH_BYTES
) -> tuple[TextSet, TextSet]:
    """Parse all texts of a FindParaphrases stream after its settings, to its end.

    Args:
        requests: the rest of the stream.
        max_bytes: the limit for both sets together.

    Returns:
        The first set and the second, which may be empty.

    Raises:
        ArgumentInvalid: when a part is not texts, the set or an id is invalid, or the first set is empty.
        TooManyTexts: when a chunk, a set or both sets together are too large.
    """
    first, second = TextSet(), TextSet()
    sets = {pb.TEXT_SET_UNSPECIFIED: first, pb.TEXT_SET_FIRST: first, pb.TEXT_SET_SECOND: second}
    size = 0
    async for request in requests:
        if request.WhichOneof("part") != "texts":
            raise ArgumentInvalid(
                "a part after the settings is not texts", "send settings once, then texts only"
            )
        chunk = request.texts
        if chunk.set not in sets:
            raise ArgumentInvalid(
                f"texts.set has no value {chunk.set}", "use TEXT_SET_FIRST or TEXT_SET_SECOND"
            )
        size += chunk.ByteSize()
        if size > max_bytes:
            raise TooManyTexts(
                f"the sets hold more than {max_bytes} bytes of text",
                "compare smaller sets, or send only the part of each text that the model reads "
                "(ListModels: limit_count)",
            )
        _add_chunk(sets[chunk.set], chunk)
    check_count(len(first.contents), "texts", MAX_SET_TEXTS)
    return first, second


def _add_chunk(text_set: TextSet, chunk: pb.TextChunk) -> None:
    texts = parse_texts(chunk.texts)
    if len(text_set.contents) + len(texts.contents) > MAX_SET_TEXTS:
        raise TooManyTexts(f"a set holds more than {MAX_SET_TEXTS} texts", "compare smaller sets")
    text_set.contents.extend(texts.contents)
    text_set.ids.extend(texts.ids)


def build_score_pairs(
    request: PairScoresRequest, outcomes: Sequence[Outcome[Any]], selected: SelectedModel, started: float
) -> pb.ScorePairsResponse:
    """Build the response from the outcome of each distinct text; `started` as in `build_timings`.

    A pair whose texts were both computed has the cosine of their vectors. Another has the status of its first text that
    failed.
    """
    provenance = build_provenance(selected, request.options)
    response = pb.ScorePairsResponse(provenance=provenance)
    info = selected.engine.info
    left, right, scored = [], [], []
    for pair in request.pairs:
        result = response.results.add(id=pair.id)
        first, second = outcomes[pair.first], outcomes[pair.second]
        if isinstance(first, Success):
            result.first_usage.CopyFrom(build_usage(first.usage, info, request.contents[pair.first]))
        if isinstance(second, Success):
            result.second_usage.CopyFrom(build_usage(second.usage, info, request.contents[pair.second]))
        if isinstance(first, Failure):
            result.status.CopyFrom(_build_side_status(first, "first"))
        elif isinstance(second, Failure):
            result.status.CopyFrom(_build_side_status(second, "second"))
        else:
            left.append(first.result.dense)
            right.append(second.result.dense)
            scored.append(result)
    if scored:
        scores = pair_scores(np.stack(left), np.stack(right)).tolist()
        for result, score in zip(scored, scores, strict=True):
            result.score = score
    response.timings.CopyFrom(build_timings((outcome.timings for outcome in outcomes), started))
    return response


def _build_side_status(failed: Failure, side: str) -> status_pb2.Status:
    return build_status(failed.error.with_prefix(f"the {side} text of the pair"))


def build_search_header(
    search: ParaphraseSearchRequest, selected: SelectedModel
) -> pb.FindParaphrasesResponse:
    """Build the first message of a FindParaphrases response."""
    provenance = build_provenance(selected, search.options)
    return pb.FindParaphrasesResponse(header=pb.FindParaphrasesHeader(provenance=provenance))


def build_text_problems(
    sets: tuple[TextSet, TextSet], encoded: EncodedSets
) -> Iterator[pb.FindParaphrasesResponse]:
    """Build a message for each text that has no vector and so takes no part, set by set."""
    for index, text_set in enumerate(_TEXT_SETS):
        for position, failed in encoded.failures(index):
            problem = pb.TextProblem(
                set=text_set,
                index=position,
                id=sets[index].ids[position],
                status=build_status(failed.error),
            )
            yield pb.FindParaphrasesResponse(problem=problem)


def build_pair_chunks(
    pairs: Pairs, encoded: EncodedSets, *, two_sets: bool
) -> Iterator[pb.FindParaphrasesResponse]:
    """Build messages of at most `MAX_CHUNK_PAIRS` pairs, with the positions of their texts in the sets."""
    left = encoded.positions(0)
    right = encoded.positions(1) if two_sets else left
    for start in range(0, len(pairs.scores), MAX_CHUNK_PAIRS):
        part = slice(start, start + MAX_CHUNK_PAIRS)
        rows = zip(
            left[pairs.first[part]].tolist(), right[pairs.second[part]].tolist(), pairs.scores[part].tolist(),
            strict=True,
        )  # fmt: skip
        chunk = pb.ParaphraseChunk(
            pairs=[
                pb.ParaphrasePair(first_index=first, second_index=second, score=score)
                for first, second, score in rows
            ]
        )
        yield pb.FindParaphrasesResponse(pairs=chunk)


def build_search_summary(
    sets: tuple[TextSet, TextSet], encoded: EncodedSets, pair_count: int, started: float
) -> pb.FindParaphrasesResponse:
    """Build the last message of a FindParaphrases response; `started` as in `build_timings`."""
    first, second = sets
    summary = pb.FindParaphrasesSummary(
        first_text_count=len(first.contents),
        second_text_count=len(second.contents),
        encoded_text_count=encoded.encoded_count,
        cut_text_count=encoded.cut_count,
        windowed_text_count=encoded.windowed_count,
        pair_count=pair_count,
        timings=build_timings([encoded.timings], started),
    )
    return pb.FindParaphrasesResponse(summary=summary)
