"""Time and memory of the search for paraphrases, without the encoding of the texts.

Vectors are random, and every tenth text gets a near-copy: `python benchmarks/paraphrase_search.py --help`.
"""

import argparse
import resource
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np

from qda_worker.encoded_sets import DistinctTexts, EncodedSets
from qda_worker.models.base import Usage
from qda_worker.models.pair_search import find_pairs
from qda_worker.models.vectors import TextVectors
from qda_worker.scheduling.jobs import Success, Timings

SLICE: Final = 1024
USAGE: Final = Usage(20, 20, False, 1)


def main() -> None:
    """Measure and print one line for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--best", type=int, default=10)
    arguments = parser.parse_args()
    texts, dimensions = arguments.texts, arguments.dimensions
    print(f"{texts:,} texts x {dimensions}: the matrix alone is {texts * dimensions * 4 / 2**20:,.0f} MiB")
    before = resident()
    print(f"start: {before:,} MiB")
    began = time.perf_counter()
    encoded = encode(texts, dimensions)
    print(f"adding the vectors: {time.perf_counter() - began:.1f} s, {resident():,} MiB")
    for name, threshold, best in (
        (f"all pairs with {arguments.threshold} or more", arguments.threshold, None),
        (f"the {arguments.best} best of each", None, arguments.best),
    ):
        with Peak() as peak:
            began, computed = time.perf_counter(), time.process_time()
            count = sum(
                len(pairs.scores)
                for pairs in find_pairs(encoded.rows(0), None, threshold=threshold, top_k=best)
            )
            seconds, computed = time.perf_counter() - began, time.process_time() - computed
        figures = f"{seconds:.0f} s ({computed:.0f} s of processor time), at most {peak.mebibytes:,} MiB"
        print(f"{name}: {count:,} pairs in {figures}")
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"peak of the whole process: {highest:,} MiB")


def encode(texts: int, dimensions: int) -> EncodedSets:
    """Return the encoded texts as the service adds them: in slices, each outcome with a vector of its own."""
    draw = np.random.default_rng(1)
    encoded = EncodedSets(DistinctTexts.of(([str(number) for number in range(texts)],)))
    for start in range(0, texts, SLICE):
        rows = draw.standard_normal((min(SLICE, texts - start), dimensions), dtype=np.float32)
        copies = rows[1::10]
        copies += 4 * rows[: 10 * len(copies) : 10][: len(copies)]
        encoded.add([Success(TextVectors(row), USAGE, Timings()) for row in rows])
    return encoded


class Peak:
    """The highest resident memory while it is watched, in MiB."""

    def __enter__(self) -> "Peak":
        self.mebibytes = resident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.mebibytes = max(self.mebibytes, resident())


def resident() -> int:
    """Resident memory of this process in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() // 2**20


if __name__ == "__main__":
    main()
