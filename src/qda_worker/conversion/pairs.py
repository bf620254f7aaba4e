"""Scores of pairs and found paraphrases as the proto's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from google.rpc import status_pb2

from qda.v1 import paraphrase_pb2 as pb
from qda_worker.conversion.paraphrases_asked import TextSet
from qda_worker.conversion.statuses import status_of
from qda_worker.conversion.told import timings, usage
from qda_worker.encoded_sets import EncodedSets
from qda_worker.models.base import ModelInfo
from qda_worker.models.pair_search import Pairs
from qda_worker.models.similarity import pair_scores
from qda_worker.scheduling.work import Answered, Failed, Outcome

CHUNK_PAIRS: Final = 32_768
"""Pairs a message: at most 17 bytes each with indices below 100,000, so about half of the 1 MiB that it may have."""

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
