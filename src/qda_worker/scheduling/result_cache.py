"""A cache of results in memory, off by default: a text that was computed before is answered without the model.

One `ResultCache` has the results of all models of a worker, bounded in bytes; the results that were used least recently
make room. `ModelResults` is the part of one loaded model. It answers a call: what it has, it returns, the rest goes to
the model's queue, and what succeeds there is kept.

Never a wrong answer: a result is found only by

- the load of the model, which stands for its key, revision, precision and engine, and for the very files that were
  read: a model that is loaded again begins with an empty part, and the former one is dropped;
- the options of the call, as a value: length policy, kinds of vectors, dimension, normalization, prompt, sentences,
  layers;
- the SHA-256 of the text.

A text computed in another batch has the same numbers up to the rounding of the precision, because no engine shares a
scale between texts (docs/precision.md has the differences). The cache repeats those of the first batch.

Failures are not kept. What is kept is a copy of its own: arrays are often views that would keep those of their whole
batch, and they are made read-only.

Threads: any. The lock is held for look-ups and bookkeeping only. Texts are hashed, and results copied and measured,
in a worker thread if a call has much of them, never on the event loop.
"""

import asyncio
import sys
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np

from qda_worker.models.base import Options, Usage
from qda_worker.scheduling.jobs import Outcome, PreparedAhead, Success, Timings
from qda_worker.scheduling.observer import NULL_OBSERVER, Observer

# Memory of an entry beside its result, in bytes: key, digest, usage and the places in the dictionary. Measured: 480.
_ENTRY_BYTES: Final = 512
# Limits for working on the event loop, in texts and in characters of all of them: about a millisecond.
_MAX_TEXTS_ON_LOOP: Final = 64
_MAX_CHARACTERS_ON_LOOP: Final = 50_000

_Key: TypeAlias = tuple[int, Options, bytes]
_Compute: TypeAlias = Callable[[Sequence[str], Sequence[PreparedAhead]], Awaitable[list[Outcome[Any]]]]
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A result and how much of its text it is based on.

    Attributes:
        bytes: its memory, with that of its key.
    """

    result: Any
    usage: Usage
    bytes: int


@dataclass(slots=True)
class CacheUse:
    """How often the results of one model were found.

    Attributes:
        hits: texts that were answered from the cache.
        misses: texts that were not there.
    """

    hits: int = 0
    misses: int = 0


class ResultCache:
    """The results of all models of a worker, by least recent use.

    Attributes:
        capacity: limit in bytes.
        bytes: memory of all entries.
        evictions: entries that made room for others.
        use: hits and misses by key of the model, over all of its loads.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = 0
        self.evictions = 0
        self.use: dict[str, CacheUse] = {}
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._loads = 0

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, model: str, observer: Observer = NULL_OBSERVER) -> "ModelResults":
        """Return an empty part for a model that has just been loaded.

        Args:
            model: key of the model, for `use`.
            observer: receives the outcomes of texts that are found.
        """
        with self._lock:
            self._loads += 1
            return ModelResults(self, self._loads, self.use.setdefault(model, CacheUse()), observer)

    def get(self, keys: Sequence[_Key]) -> list[_Entry | None]:
        """Return the entry of each key, and note that it was used."""
        with self._lock:
            found = [self._entries.get(key) for key in keys]
            for key, entry in zip(keys, found, strict=True):
                if entry is not None:
                    self._entries.move_to_end(key)
            return found

    def put(self, key: _Key, entry: _Entry) -> None:
        """Keep an entry, unless it is larger than the whole cache."""
        if entry.bytes > self.capacity:
            return
        with self._lock:
            former = self._entries.pop(key, None)
            self.bytes += entry.bytes - (former.bytes if former is not None else 0)
            self._entries[key] = entry
            while self.bytes > self.capacity:
                self.bytes -= self._entries.popitem(last=False)[1].bytes
                self.evictions += 1

    def drop(self, load: int) -> None:
        """Remove all entries of a load."""
        with self._lock:
            for key in [key for key in self._entries if key[0] == load]:
                self.bytes -= self._entries.pop(key).bytes


class ModelResults:
    """The part of a cache that belongs to one load of a model."""

    def __init__(self, cache: ResultCache, load: int, use: CacheUse, observer: Observer) -> None:
        self._cache = cache
        self._load = load
        self._use = use
        self._observer = observer
        self._closed = False

    async def answer(
        self,
        texts: Sequence[str],
        options: Options,
        prepared: Sequence[PreparedAhead],
        compute: _Compute,
    ) -> list[Outcome[Any]]:
        """Return one outcome per text: from the cache, or else computed and then kept.

        Args:
            texts: the texts of a call.
            options: options for every text.
            prepared: as `ModelQueue.submit` takes it.
            compute: computes texts; what it raises is passed on. It is not called if every text is found.
        """
        keys, found = await _off_loop(texts, lambda: self._find(texts, options))
        missing = [number for number, entry in enumerate(found) if entry is None]
        self._use.hits += len(texts) - len(missing)
        self._use.misses += len(missing)
        outcomes: list[Outcome[Any] | None] = [
            None if entry is None else Success(entry.result, entry.usage, Timings(cached=True))
            for entry in found
        ]
        for entry in found:
            if entry is not None:
                self._observer.on_outcome("OK", cut=entry.usage.cut)
        if missing or not texts:
            wanted = [texts[number] for number in missing]
            computed = await compute(wanted, [prepared[number] for number in missing] if prepared else ())
            for number, outcome in zip(missing, computed, strict=True):
                outcomes[number] = outcome
            await _off_loop(wanted, lambda: self._store([keys[number] for number in missing], computed))
        return [outcome for outcome in outcomes if outcome is not None]

    def close(self) -> None:
        """Drop the results: the model is closed."""
        self._closed = True
        self._cache.drop(self._load)

    def _find(self, texts: Sequence[str], options: Options) -> tuple[list[_Key], list[_Entry | None]]:
        keys = [(self._load, options, sha256(text.encode()).digest()) for text in texts]
        return keys, self._cache.get(keys)

    def _store(self, keys: Sequence[_Key], outcomes: Sequence[Outcome[Any]]) -> None:
        for key, outcome in dict(zip(keys, outcomes, strict=True)).items():
            if isinstance(outcome, Success):
                result, size = own_copy(outcome.result)
                self._cache.put(key, _Entry(result, outcome.usage, size + _ENTRY_BYTES))
        if self._closed:  # meanwhile
            self._cache.drop(self._load)


async def _off_loop(texts: Sequence[str], work: Callable[[], _Value]) -> _Value:
    """Return what `work` returns, called in a thread if the texts are too many or too long for the event loop."""
    is_quick = len(texts) <= _MAX_TEXTS_ON_LOOP and sum(map(len, texts)) <= _MAX_CHARACTERS_ON_LOOP
    return work() if is_quick else await asyncio.to_thread(work)


def own_copy(value: Any) -> tuple[Any, int]:
    """Return a copy of a result that shares no array with anything else, and its memory in bytes.

    Args:
        value: a result of a model: dataclasses, arrays, tuples, lists, mappings, text, numbers, enums and None.
    """
    if isinstance(value, np.ndarray):
        copied = value.copy()
        copied.flags.writeable = False
        return copied, sys.getsizeof(copied)
    if value is None or isinstance(value, Enum | bool):
        return value, 0
    if is_dataclass(value) and not isinstance(value, type):
        if (compact := getattr(value, "compact", None)) is not None:
            value = compact()  # it shares memory with others, as the tokens of a text share their strings
        parts = {each.name: own_copy(getattr(value, each.name)) for each in fields(value)}
        size = sys.getsizeof(value) + sum(part[1] for part in parts.values())
        return type(value)(**{name: part[0] for name, part in parts.items()}), size
    if isinstance(value, Mapping):
        entries = {key: own_copy(each) for key, each in value.items()}
        size = sys.getsizeof(value) + sum(own_copy(key)[1] + part[1] for key, part in entries.items())
        return {key: part[0] for key, part in entries.items()}, size
    if isinstance(value, frozenset):  # of enums
        return value, sys.getsizeof(value)
    if isinstance(value, tuple | list):
        items = [own_copy(each) for each in value]
        return type(value)(item[0] for item in items), sys.getsizeof(value) + sum(item[1] for item in items)
    return value, sys.getsizeof(value)
