"""Cost of one item as the corpus grows ten-fold."""

import os
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.results import Better, Bound, Goal, Role, Row, Side
from benchmarks.session import Session, texts_of
from qda_worker.client import Client, Settings
from qda_worker.encoded_sets import DistinctTexts, EncodedSets
from qda_worker.models.base import Usage
from qda_worker.models.pair_search import find_pairs
from qda_worker.models.vectors import TextVectors
from qda_worker.scheduling.jobs import Success, Timings
from tests.service.worker.fixtures import create_cache
from tests.service.worker.process import serving

# Items of the small corpus, in the quick and in the full run. A stream keeps 512 texts under way: with less than
# 2,000 in all, batches are selected from fewer on average, and a text costs a tenth less.
_TEXTS: Final = (2_000, 5_000)
# Repetitions with texts in the quick run; one takes 14 s.
_QUICK_REPETITIONS: Final = 1
_VECTORS: Final = (1_000, 5_000)
_DIMENSIONS: Final = 768
_GOAL: Final = (Goal(Role.BASELINE, Bound.RATIO_AT_MOST, 1.1),)
_USAGE: Final = Usage(20, 20, False, 1)


def rows(session: Session) -> list[Row]:
    """Measure small and large corpora in turns."""
    session.close_sides()
    return [_texts_row(session), _pairs_row(session)]


def _texts_row(session: Session) -> Row:
    small = _TEXTS[not session.quick]
    large = 10 * small
    folder = session.temporary / "tiny"
    folder.mkdir()
    cache = create_cache(folder)
    options = ["--catalog", str(cache.catalog_file), "--cache", str(cache.cache), "--no-fetch"]
    found: dict[int, list[float]] = {small: [], large: []}
    with (
        serving(folder, *options, "--model", "tiny-embedding") as worker,
        Client(Settings(worker.address)) as client,
    ):
        worker.wait_until_ready()
        list(client.embed_stream(texts_of(small, (8, 24), 399)))  # warms everything up
        for number in range(_QUICK_REPETITIONS if session.quick else session.repetitions):
            for count in (small, large):
                texts = texts_of(count, (8, 24), 400 + number)
                before = _processor_seconds(worker.process.pid)
                assert sum(result.ok for result in client.embed_stream(texts)) == count
                found[count].append(1000 * (_processor_seconds(worker.process.pid) - before) / count)
    return _row("texts through a stream", "texts", "processor ms for one text", small, large, found)


def _pairs_row(session: Session) -> Row:
    small = _VECTORS[not session.quick]
    large = 10 * small
    found: dict[int, list[float]] = {small: [], large: []}
    for _ in range(session.repetitions):
        for count in (small, large):
            encoded = _random_set(count)
            before = sum(os.times()[:2])
            for _pairs in find_pairs(encoded.rows(0), None, threshold=0.8, top_k=None):
                pass
            pairs = count * (count - 1) / 2
            found[count].append(1e9 * (sum(os.times()[:2]) - before) / pairs)
    return _row("pairs of a paraphrase search", "vectors", "processor ns for one pair", small, large, found)


def _row(what: str, items: str, measure: str, small: int, large: int, found: dict[int, list[float]]) -> Row:
    print(f"  {what}: {found}", flush=True)
    return Row(
        {"corpus": what},
        measure,
        Better.LOWER,
        (
            Side(f"{large:,} {items}", Role.OURS, tuple(found[large])),
            Side(f"{small:,} {items}", Role.BASELINE, tuple(found[small])),
        ),
        _GOAL,
    )


def _random_set(count: int) -> EncodedSets:
    """Return vectors as the service adds them."""
    draw = np.random.default_rng(1)
    encoded = EncodedSets(DistinctTexts.of(([str(number) for number in range(count)],)))
    rows = draw.standard_normal((count, _DIMENSIONS), dtype=np.float32)
    encoded.add([Success(TextVectors(row), _USAGE, Timings()) for row in rows])
    return encoded


def _processor_seconds(pid: int) -> float:
    """Return the user and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
