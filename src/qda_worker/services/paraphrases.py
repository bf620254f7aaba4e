"""ParaphraseService: which texts mean the same."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from model_cache.catalog.catalog import Task
from qda.v1 import paraphrase_pb2 as pb
from qda.v1 import paraphrase_pb2_grpc
from qda_worker.conversion import request_fields
from qda_worker.conversion.metadata import provenance
from qda_worker.conversion.paraphrases import chunks, first_settings, gather, pair_results, problems, summary
from qda_worker.encoded_sets import DistinctTexts, EncodedSets
from qda_worker.errors import ArgumentInvalid, Violation
from qda_worker.interceptors.errors import Context
from qda_worker.limits import MAX_TEXTS
from qda_worker.models.base import Options
from qda_worker.models.pair_search import Pairs, find_pairs
from qda_worker.registry.registry import ModelRegistry
from qda_worker.scheduling.jobs import Lane
from qda_worker.services.inference import SLICE, ask, build_off_loop, call_timings


class ParaphraseService(paraphrase_pb2_grpc.ParaphraseServiceServicer):
    """Answers with the fleet's paraphrase and embedding models."""

    def __init__(self, fleet: ModelRegistry) -> None:
        self._fleet = fleet

    async def ScorePairs(self, request: pb.ScorePairsRequest, context: Context) -> pb.ScorePairsResponse:
        """The cosine of each pair; each distinct text is computed once."""
        began = time.monotonic()
        _check_pairs(request)
        options = Options(request_fields.long_text(request.long_text_policy))
        lane = request_fields.lane(request.priority, Lane.INTERACTIVE)
        serving = self._fleet.choose(request.model, Task.PARAPHRASE)
        numbers: dict[str, int] = {}
        for pair in request.pairs:
            for content in (pair.first.content, pair.second.content):
                numbers.setdefault(content, len(numbers))
        contents = list(numbers)
        outcomes = await ask(serving, contents, options, lane, context)
        answers = await build_off_loop(
            contents, lambda: pair_results(request.pairs, numbers, outcomes, serving.engine.info)
        )
        return pb.ScorePairsResponse(
            results=answers, provenance=provenance(serving), timings=call_timings(outcomes, began)
        )

    async def FindParaphrases(
        self, request_iterator: AsyncIterator[pb.FindParaphrasesRequest], context: Context
    ) -> AsyncIterator[pb.FindParaphrasesResponse]:
        """Like texts of one set or between two. What the caller does not read is not searched."""
        began = time.monotonic()
        search = await first_settings(request_iterator)
        serving = self._fleet.choose(search.model, Task.PARAPHRASE)
        yield pb.FindParaphrasesResponse(header=pb.FindParaphrasesHeader(provenance=provenance(serving)))
        first, second = await gather(request_iterator)
        sets = await asyncio.to_thread(DistinctTexts.of, (first.texts, second.texts))
        encoded = EncodedSets(sets)
        options = Options(search.long_text)
        for start in range(0, len(sets.texts), SLICE):
            part = sets.texts[start : start + SLICE]
            outcomes = await ask(serving, part, options, search.lane, context)
            await asyncio.to_thread(encoded.add, outcomes)
        for problem in problems((first, second), encoded):
            yield pb.FindParaphrasesResponse(problem=problem)
        found = await asyncio.to_thread(_search, encoded, bool(second.texts), search.threshold, search.best)
        count = 0
        while (pairs := await asyncio.to_thread(next, found, None)) is not None:
            for chunk in chunks(pairs, encoded, two_sets=bool(second.texts)):
                count += len(chunk.pairs)
                yield pb.FindParaphrasesResponse(pairs=chunk)
        total = summary((first, second), encoded, count, time.monotonic() - began)
        yield pb.FindParaphrasesResponse(summary=total)


def _search(
    encoded: EncodedSets, two_sets: bool, threshold: float | None, best: int | None
) -> Iterator[Pairs]:
    right = encoded.rows(1) if two_sets else None
    return find_pairs(encoded.rows(0), right, threshold=threshold, best=best)


def _check_pairs(request: pb.ScorePairsRequest) -> None:
    """Raises ArgumentInvalid or TooManyTexts. An empty text passes: it is its own pair's error."""
    request_fields.check_count(len(request.pairs), "pairs", MAX_TEXTS // 2)
    request_fields.check_ids(request.pairs, "pairs")
    missing = [
        Violation(f"pairs[{index}].{side}", "is missing")
        for index, pair in enumerate(request.pairs)
        for side in ("first", "second")
        if not pair.HasField(side)
    ]
    if missing:
        raise ArgumentInvalid(
            f"{missing[0].field} is missing", "send both texts of each pair", violations=missing
        )
