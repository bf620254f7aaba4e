"""A cache of results never changes an answer, and keeps to its limit."""

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qda_worker.models.base import LongText, Options, PreparedText, TextResult, Usage, VectorKind
from qda_worker.models.sentence_units import SentenceOptions
from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.models.syntax import SyntaxOptions, TokenTable
from qda_worker.models.token_columns import Column
from qda_worker.models.vectors import SparseWeights, TextVectors, VectorOptions
from qda_worker.registry.engine import Engine
from qda_worker.scheduling.jobs import Caller, Failure, Lane, Outcome, Success, Timings
from qda_worker.scheduling.queue import ModelQueue
from qda_worker.scheduling.result_cache import ResultCache, own_copy
from qda_worker.scheduling.tokenizer_pool import prepare_ahead
from tests.support.echo_model import EchoModel
from tests.support.queue_harness import WAIT
from tests.support.recording_observer import RecordingObserver

USAGE: Final = Usage(3, 3, cut=False, window_count=1)
OPTIONS: Final[tuple[Options, ...]] = (
    *map(Options, LongText),
    *map(SentenceOptions, LongText),
    VectorOptions(),
    VectorOptions(kinds=frozenset({VectorKind.SPARSE})),
    VectorOptions(dimension=8),
    VectorOptions(normalize=True),
    VectorOptions(prompt_name="query"),
    VectorOptions(prompt_name="passage"),
    SyntaxOptions(),
    SyntaxOptions(layers=frozenset({SyntaxLayer.LEMMA})),
    SyntaxOptions(layers=frozenset({SyntaxLayer.LEMMA, SyntaxLayer.SENTENCES})),
)


class OptionsModel(EchoModel):
    """Its result says which text, options and load of the model it is for."""

    def __init__(self, load: int) -> None:
        super().__init__()
        self._load = load
        self._options: list[tuple[PreparedText[str], Options]] = []

    def prepare(self, text: str, options: Options) -> PreparedText[str]:
        prepared = super().prepare(text, options)
        self._options.append((prepared, options))
        return prepared

    def finish(self, text: str, prepared: PreparedText[str], outputs: Sequence[str]) -> TextResult[Any]:
        result = super().finish(text, prepared, outputs)
        options = next(options for each, options in self._options if each is prepared)
        return TextResult((result.answer, repr(options), self._load), result.usage)


class Loaded:
    """An engine with a queue, with or without a cache."""

    def __init__(self, pool: ThreadPoolExecutor, cache: ResultCache | None, load: int = 0) -> None:
        self.model = OptionsModel(load)
        self.observer = RecordingObserver()
        queue: ModelQueue[str, str, Any] = ModelQueue(self.model, pool, observer=self.observer)
        self.engine = Engine(
            self.model, queue, cache.open("echo", self.observer) if cache is not None else None
        )

    async def answer(
        self, texts: Sequence[str], options: Options, *, ahead: bool = False
    ) -> list[Outcome[Any]]:
        prepared = [prepare_ahead(self.model, text, options) for text in texts] if ahead else ()
        return await self.engine.answer(texts, options, Lane.BULK, None, Caller(), prepared)

    @property
    def computed(self) -> int:
        return sum(map(len, self.model.batches))


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def told(outcomes: Sequence[Outcome[Any]]) -> list[Any]:
    return [
        (each.result, each.usage) if isinstance(each, Success) else each.error.reason for each in outcomes
    ]


CALLS: Final = st.lists(
    st.tuples(
        st.lists(
            st.sampled_from(["a", "b", "B", "ä", "", "bad!", "odd?", "late#", "long " * 20]), max_size=8
        ),
        st.sampled_from(OPTIONS),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(CALLS, st.sampled_from([0, 700, 2000, 2**20]))
def test_answers_are_those_of_a_worker_without_a_cache(
    pool: ThreadPoolExecutor,
    calls: list[tuple[list[str], Options, bool, bool]],
    capacity: int,
) -> None:
    """For any calls, options, length policies, failures, evictions and reloads of the model."""

    async def run() -> None:
        cache, load = ResultCache(capacity), 0
        cached, plain = Loaded(pool, cache), Loaded(pool, None)
        for texts, options, ahead, reloads in calls:
            if reloads:
                load += 1
                cached.engine.close(WAIT)
                plain.engine.close(WAIT)
                cached, plain = Loaded(pool, cache, load), Loaded(pool, None, load)
            with_cache = await cached.answer(texts, options, ahead=ahead)
            assert told(with_cache) == told(await plain.answer(texts, options))
            assert all(each.timings == Timings(cached=True) for each in with_cache if each.timings.cached)
            assert cache.bytes <= capacity
        assert cached.observer.outcomes.count(("OK", False)) == plain.observer.outcomes.count(("OK", False))
        cached.engine.close(WAIT)
        plain.engine.close(WAIT)
        assert (len(cache), cache.bytes) == (0, 0)

    asyncio.run(run())


async def test_a_text_that_comes_again_is_not_computed(pool: ThreadPoolExecutor) -> None:
    cache = ResultCache(2**20)
    loaded = Loaded(pool, cache)
    first = await loaded.answer(["a", "b", "a"], Options())
    again = await loaded.answer(["b", "c", "a", "a"], Options())
    assert [each.timings.cached for each in first] == [False] * 3
    assert [each.timings.cached for each in again] == [True, False, True, True]
    assert loaded.computed == 3
    assert (cache.use["echo"].hits, cache.use["echo"].misses) == (3, 4)
    assert len(loaded.observer.outcomes) == 7
    assert len(cache) == 3
    loaded.engine.close(WAIT)


async def test_other_options_are_another_result(pool: ThreadPoolExecutor) -> None:
    loaded = Loaded(pool, ResultCache(2**20))
    for options in OPTIONS:
        (outcome,) = await loaded.answer(["a"], options)
        assert not outcome.timings.cached, options
    for options in OPTIONS:
        (outcome,) = await loaded.answer(["a"], options)
        assert outcome.timings.cached, options
    loaded.engine.close(WAIT)


async def test_errors_are_computed_again(pool: ThreadPoolExecutor) -> None:
    cache = ResultCache(2**20)
    loaded = Loaded(pool, cache)
    for _ in range(2):
        outcomes = await loaded.answer(["bad!", "odd?", ""], Options())
        assert all(isinstance(each, Failure) for each in outcomes)
    assert len(cache) == 0
    assert loaded.computed >= 2
    loaded.engine.close(WAIT)


async def test_the_least_recently_used_result_makes_room(pool: ThreadPoolExecutor) -> None:
    cache = ResultCache(2**20)
    loaded = Loaded(pool, cache)
    await loaded.answer(["a", "b"], Options())
    cache.capacity = cache.bytes
    await loaded.answer(["a"], Options())
    await loaded.answer(["c"], Options())
    assert cache.evictions == 1
    assert [each.timings.cached for each in await loaded.answer(["a", "c"], Options())] == [True, True]
    assert [each.timings.cached for each in await loaded.answer(["b"], Options())] == [False]
    loaded.engine.close(WAIT)


def test_an_entry_keeps_no_array_of_its_batch_alive() -> None:
    """The vector of a text is a row of the matrix of its batch."""
    matrix = np.ones((64, 1024), np.float32)
    copied, size = own_copy(
        TextVectors(matrix[3], SparseWeights(np.arange(3, dtype=np.int32), matrix[0, :3], ("a",)))
    )
    assert copied.dense.base is None
    assert not copied.dense.flags.writeable
    np.testing.assert_array_equal(copied.dense, matrix[3])
    assert 4096 < size < 6000


async def test_the_limit_is_one_of_real_memory(pool: ThreadPoolExecutor) -> None:
    cache = ResultCache(2 * 2**20)
    results = cache.open("vectors")

    async def compute(texts: Sequence[str], _prepared: object) -> list[Outcome[Any]]:
        return [
            Success(TextVectors(np.full((2, 256), len(text), np.float32)[0]), USAGE, Timings())
            for text in texts
        ]

    gc.collect()
    tracemalloc.start()
    try:
        for start in range(0, 4000, 50):
            texts = [f"text {number}" for number in range(start, start + 50)]
            await results.answer(texts, VectorOptions(), (), compute)
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.evictions > 1000
    assert 0.7 * cache.capacity < used < 1.1 * cache.capacity


async def test_results_of_a_model_that_was_closed_meanwhile_are_not_kept() -> None:
    cache = ResultCache(2**20)
    results = cache.open("echo")

    async def compute(texts: Sequence[str], _prepared: object) -> list[Outcome[Any]]:
        results.close()
        return [Success("late", USAGE, Timings()) for _ in texts]

    assert [each.timings.cached for each in await results.answer(["a"], Options(), (), compute)] == [False]
    assert (len(cache), cache.bytes) == (0, 0)


def test_a_kept_table_of_tokens_has_its_own_strings_only() -> None:
    """The texts of a batch share their strings, so each kept one would count those of all."""
    strings = ["", *map(str, range(10_000))]
    table = np.zeros((len(Column), 3), np.int32)
    table[Column.LEMMA] = [7, 0, 7]
    kept, size = own_copy(TokenTable(table, strings, frozenset({SyntaxLayer.LEMMA})))
    assert [kept.strings[number] for number in kept.table[Column.LEMMA]] == ["6", "", "6"]
    assert size < 2_000
