"""ParaphraseService: scores pairs of texts, and searches sets of texts for pairs with similar meaning.

A search reads both sets to their end, computes each distinct text once, and then searches tile by tile in a pool of
one thread: several searches take turns, and the threads of other work are never occupied by one.
The generator of pairs advances only when the client has taken the last message, so an unread search does not run on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import Final

from model_cache.catalog.catalog import Task
from qda.v1 import paraphrase_pb2 as pb
from qda.v1 import paraphrase_pb2_grpc
from qda_worker.conversion.paraphrases import (
    ParaphraseSearchRequest,
    build_pair_chunks,
    build_score_pairs,
    build_search_header,
    build_search_summary,
    build_text_problems,
    parse_score_pairs,
    parse_search,
    parse_text_sets,
)
from qda_worker.conversion.request_fields import check_prompt, field_prefix
from qda_worker.encoded_sets import DistinctTexts, EncodedSets
from qda_worker.interceptors.base import Context
from qda_worker.models.pair_search import Pairs, find_pairs
from qda_worker.registry.registry import ModelRegistry, SelectedModel
from qda_worker.scheduling.jobs import Lane
from qda_worker.services.inference import build_off_loop, infer, infer_parts, split_parts

# Prefix of the name of the thread that searches.
SEARCH_THREAD_PREFIX: Final = "paraphrase-search"


class ParaphraseService(paraphrase_pb2_grpc.ParaphraseServiceServicer):
    """Servicer of `qda.v1.ParaphraseService`; it uses the paraphrase and embedding models of `registry`."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._search_pool = ThreadPoolExecutor(1, thread_name_prefix=SEARCH_THREAD_PREFIX)

    async def ScorePairs(self, request: pb.ScorePairsRequest, context: Context) -> pb.ScorePairsResponse:
        """Return the cosine of each pair; each distinct text is computed once."""
        started = time.monotonic()
        parsed = parse_score_pairs(request)
        contents = parsed.contents
        selected = self._registry.select(parsed.model, Task.PARAPHRASE)
        check_prompt(parsed.options.prompt_name, selected.engine.info)
        outcomes = await infer(selected, contents, parsed.options, parsed.lane, context)
        return await build_off_loop(contents, lambda: build_score_pairs(parsed, outcomes, selected, started))

    async def FindParaphrases(
        self, request_iterator: AsyncIterator[pb.FindParaphrasesRequest], context: Context
    ) -> AsyncIterator[pb.FindParaphrasesResponse]:
        """Yield the pairs of similar texts within one set or between two."""
        started = time.monotonic()
        search = parse_search(await anext(request_iterator, None))
        selected = self._registry.select(search.model, Task.PARAPHRASE)
        with field_prefix("settings"):
            check_prompt(search.options.prompt_name, selected.engine.info)
        yield build_search_header(search, selected)
        sets = await parse_text_sets(request_iterator)
        two_sets = bool(sets[1].contents)
        distinct = await asyncio.to_thread(DistinctTexts.of, [text_set.contents for text_set in sets])
        encoded = await _encode(distinct, search, selected)
        for problem in build_text_problems(sets, encoded):
            yield problem
        search_in_pool = partial(asyncio.get_running_loop().run_in_executor, self._search_pool)
        found = await search_in_pool(_search, encoded, search, two_sets)
        pair_count = 0
        while (pairs := await search_in_pool(self._next_tile, found, search.lane)) is not None:
            for chunk in build_pair_chunks(pairs, encoded, two_sets=two_sets):
                pair_count += len(chunk.pairs.pairs)
                yield chunk
        yield build_search_summary(sets, encoded, pair_count, started)

    def _next_tile(self, found: Iterator[Pairs], lane: Lane) -> Pairs | None:
        """Search one tile, in turn with the models; None at the end. Blocks; the search thread calls it."""
        with self._registry.turns.turn(interactive=lane is Lane.INTERACTIVE):
            return next(found, None)


async def _encode(
    distinct: DistinctTexts, search: ParaphraseSearchRequest, selected: SelectedModel
) -> EncodedSets:
    encoded = EncodedSets(distinct)
    parts = infer_parts(selected, split_parts(distinct.contents), search.options, search.lane)
    async with aclosing(parts):
        async for outcomes in parts:
            await asyncio.to_thread(encoded.add, outcomes)
    return encoded


def _search(encoded: EncodedSets, search: ParaphraseSearchRequest, two_sets: bool) -> Iterator[Pairs]:
    right = encoded.rows(1) if two_sets else None
    return find_pairs(encoded.rows(0), right, threshold=search.threshold, top_k=search.best_count)
