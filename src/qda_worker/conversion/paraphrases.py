"""What a FindParaphrases stream asks for: settings first, then two sets of texts by chunk.

Scores of pairs and found paraphrases as the proto's messages.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from google.rpc import status_pb2

from qda.v1 import paraphrase_pb2 as pb
from qda_worker.conversion import request_fields
from qda_worker.conversion.metadata import timings, usage
from qda_worker.conversion.rpc_status import status_of
from qda_worker.encoded_sets import EncodedSets
from qda_worker.errors import ArgumentInvalid, TooManyTexts, Violation
from qda_worker.limits import MAX_SEARCH_BYTES, MAX_SET_TEXTS
from qda_worker.models.base import LongText, ModelInfo
from qda_worker.models.pair_search import Pairs, pair_scores
from qda_worker.scheduling.jobs import Answered, Failed, Lane, Outcome


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for. At least one of `threshold` (-1 to 1) and `best` (at least 1) is given."""

    model: str
    long_text: LongText
    lane: Lane
    threshold: float | None
    best: int | None


@dataclass(slots=True)
class TextSet:
    """The texts of one set with their ids, by position."""

    texts: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


def search(settings: pb.FindParaphrasesSettings) -> Search:
    """Raises ArgumentInvalid."""
    threshold = settings.threshold if settings.HasField("threshold") else None
    best = settings.best_count if settings.HasField("best_count") else None
    if threshold is None and best is None:
        raise ArgumentInvalid(
            "the settings have neither threshold nor best_count", "set at least one of them",
            violations=[Violation("settings.threshold", "or settings.best_count is required")],
        )  # fmt: skip
    if threshold is not None and not -1.0 <= threshold <= 1.0:  # also refuses NaN
        raise ArgumentInvalid(
            f"settings.threshold is {threshold}", "use a cosine from -1 to 1",
            violations=[Violation("settings.threshold", "must lie between -1 and 1")],
        )  # fmt: skip
    if best is not None and best < 1:
        raise ArgumentInvalid(
            f"settings.best_count is {best}", "use at least 1, or leave it out",
            violations=[Violation("settings.best_count", "must be at least 1")],
        )  # fmt: skip
    return Search(
        model=settings.model,
        long_text=request_fields.long_text(settings.long_text_policy),
        lane=request_fields.lane(settings.priority, Lane.BULK),
        threshold=threshold,
        best=best,
    )


async def first_settings(requests: AsyncIterator[pb.FindParaphrasesRequest]) -> Search:
    """The settings, which must be the first part of the stream. Raises ArgumentInvalid."""
    async for request in requests:
        if request.WhichOneof("part") != "settings":
            raise ArgumentInvalid("the stream does not begin with settings", "send settings before any texts")
        return search(request.settings)
    raise ArgumentInvalid("the stream is empty", "send settings, then texts")


async def gather(
    requests: AsyncIterator[pb.FindParaphrasesRequest], most_bytes: int = MAX_SEARCH_BYTES
) -> tuple[TextSet, TextSet]:
    """All texts of the stream after its settings: the first set and the second.

    Raises ArgumentInvalid or TooManyTexts.
    """
    first, second = TextSet(), TextSet()
    size = 0
    sets = {pb.TEXT_SET_UNSPECIFIED: first, pb.TEXT_SET_FIRST: first, pb.TEXT_SET_SECOND: second}
    async for request in requests:
        if request.WhichOneof("part") != "texts":
            raise ArgumentInvalid(
                "settings, or nothing, where texts are expected", "send settings once, then texts only"
            )
        chunk = request.texts
        if chunk.set not in sets:
            raise ArgumentInvalid(
                f"texts.set has no value {chunk.set}", "use TEXT_SET_FIRST or TEXT_SET_SECOND"
            )
        size += chunk.ByteSize()
        if size > most_bytes:
            raise TooManyTexts(
                f"the sets hold more than {most_bytes} bytes of text",
                "compare smaller sets, or send of each text only what the model reads (ListModels: max_length)",
            )
        _add(sets[chunk.set], chunk)
    request_fields.check_count(len(first.texts), "texts", MAX_SET_TEXTS)
    return first, second


def _add(to: TextSet, chunk: pb.TextChunk) -> None:
    request_fields.check_texts(chunk.texts)
    if len(to.texts) + len(chunk.texts) > MAX_SET_TEXTS:
        raise TooManyTexts(f"a set holds more than {MAX_SET_TEXTS} texts", "compare smaller sets")
    to.texts.extend(text.content for text in chunk.texts)
    to.ids.extend(text.id for text in chunk.texts)


# Pairs a message: at most 17 bytes each with indices below 100,000, so about half of the 1 MiB that it may
# have.
CHUNK_PAIRS: Final = 32_768

_SETS: Final = (pb.TEXT_SET_FIRST, pb.TEXT_SET_SECOND)


def pair_results(
    pairs: Sequence[pb.TextPair],
    numbers: Mapping[str, int],
    outcomes: Sequence[Outcome[Any]],
    info: ModelInfo,
) -> list[pb.PairResult]:
    """One result a pair. `numbers` says which outcome is a text's. A pair fails by its first text that failed."""
    results, left, right, scored = [], [], [], []
    for pair in pairs:
        result = pb.PairResult(id=pair.id)
        first, second = outcomes[numbers[pair.first.content]], outcomes[numbers[pair.second.content]]
        if isinstance(first, Answered):
            result.first_usage.CopyFrom(usage(first.usage, info, pair.first.content))
        if isinstance(second, Answered):
            result.second_usage.CopyFrom(usage(second.usage, info, pair.second.content))
        if isinstance(first, Failed):
            result.status.CopyFrom(_status(first, "first"))
        elif isinstance(second, Failed):
            result.status.CopyFrom(_status(second, "second"))
        else:
            left.append(first.result.dense)
            right.append(second.result.dense)
            scored.append(result)
        results.append(result)
    if scored:
        for result, score in zip(scored, pair_scores(np.stack(left), np.stack(right)).tolist(), strict=True):
            result.score = score
    return results


def problems(sets: tuple[TextSet, TextSet], encoded: EncodedSets) -> Iterator[pb.TextProblem]:
    """The texts that take no part, set by set."""
    for which, name in enumerate(_SETS):
        for position, failed in encoded.failures(which):
            yield pb.TextProblem(
                set=name, index=position, id=sets[which].ids[position], status=status_of(failed.error)
            )


def chunks(pairs: Pairs, encoded: EncodedSets, *, two_sets: bool) -> Iterator[pb.ParaphraseChunk]:
    """The pairs with the positions of their texts, some at a time."""
    left = encoded.positions(0)
    right = encoded.positions(1) if two_sets else left
    for start in range(0, len(pairs.scores), CHUNK_PAIRS):
        part = slice(start, start + CHUNK_PAIRS)
        rows = zip(
            left[pairs.first[part]].tolist(), right[pairs.second[part]].tolist(), pairs.scores[part].tolist(),
            strict=True,
        )  # fmt: skip
        yield pb.ParaphraseChunk(
            pairs=[
                pb.ParaphrasePair(first_index=first, second_index=second, score=score)
                for first, second, score in rows
            ]
        )


def summary(
    sets: tuple[TextSet, TextSet], encoded: EncodedSets, pair_count: int, total_seconds: float
) -> pb.FindParaphrasesSummary:
    """What was looked at and found."""
    return pb.FindParaphrasesSummary(
        first_text_count=len(sets[0].texts),
        second_text_count=len(sets[1].texts),
        encoded_text_count=encoded.encoded,
        cut_text_count=encoded.cut,
        windowed_text_count=encoded.windowed,
        pair_count=pair_count,
        timings=timings([encoded.timings], total_seconds),
    )


def _status(failed: Failed, side: str) -> status_pb2.Status:
    error = failed.error
    return status_of(type(error)(f"the {side} text of the pair: {error.message}", error.remedy))
