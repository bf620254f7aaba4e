"""Soak test: stream a million documents through one worker; memory must not grow and no result may be lost.

The models are tiny, so that the worker is measured and not a model. Every result is compared with its document by
position and id. After each tenth of the documents the resident memory of worker, spaCy process and client is printed.

    .venv/bin/python -m benchmarks.documents_soak                          # 200,000 documents, several minutes
    .venv/bin/python -m benchmarks.documents_soak --documents 1000000      # one million
    .venv/bin/python -m benchmarks.documents_soak --target HOST:50051      # a worker that runs already

The exit code is 1 if a result is missing, failed or out of order, or if the worker's memory grew by more than --growth
MiB between the first tenth and the end.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from qda_worker.client import AnalysisTask, Client, EmbeddingTask, EntityTask, SentimentTask, Settings, Text
from tests.service.worker.fixtures import create_cache
from tests.service.worker.process import serving

TASKS: Final[dict[str, AnalysisTask]] = {
    "sentiment": SentimentTask(),
    "entities": EntityTask(),
    "embedding": EmbeddingTask(),
}
PARTS: Final = 10


def documents(count: int) -> Iterator[Text]:
    """Yield distinct texts of different lengths."""
    for number in range(count):
        content = f"Frau Müller aus Köln sagte {number} Mal: gut. " * (1 + number % 4)
        yield Text(content, id=str(number))


def resident(pids: Sequence[int]) -> list[int]:
    """Return the resident memory of each process in MiB; 0 for one that does not exist."""
    found = []
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        except OSError:
            lines = []
        found.append(sum(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS:")))
    return found


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text(encoding="ascii").split()]


@contextmanager
def target(given: str | None) -> Iterator[tuple[str, list[int]]]:
    """Yield the address of a worker and the ids of its processes, its own first; none for one that was given."""
    if given is not None:
        yield given, []
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache_fixture = create_cache(folder)
        options = [
            "--catalog",
            str(cache_fixture.catalog_file),
            "--cache",
            str(cache_fixture.cache),
            "--no-fetch",
        ]
        with serving(folder, *options) as worker:
            worker.wait_until_ready()
            pid = worker.process.pid
            yield worker.address, [pid, *children(pid)]


def main() -> int:
    """Run the soak test and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument(
        "--target", help="HOST:PORT of a worker that runs already; its memory is not measured"
    )
    parser.add_argument(
        "--growth", type=int, default=64, help="MiB that the worker may grow by; default %(default)s"
    )
    arguments = parser.parse_args()
    count, bad = arguments.documents, 0
    with target(arguments.target) as (address, pids), Client(Settings(address, caller="soak")) as client:
        print(
            f"{'documents':>10} {'a second':>9} {'worker':>8} {'spaCy':>8} {'client':>8}  MiB resident",
            flush=True,
        )
        memory: list[list[int]] = []
        began, expected = time.monotonic(), 0
        tasks = [TASKS[name] for name in arguments.tasks]
        for result in client.analyze(documents(count), tasks, timeout=24 * 3600):
            bad += not (result.ok and result.index == expected and result.id == str(expected))
            expected += 1
            if expected % max(1, count // PARTS) == 0:
                memory.append(resident([*[*pids, 0, 0][:2], os.getpid()]))
                rate = expected / (time.monotonic() - began)
                worker, spacy, own = memory[-1]
                print(f"{expected:>10,} {rate:>9,.0f} {worker:>8} {spacy:>8} {own:>8}", flush=True)
    growth = memory[-1][0] - memory[0][0] if memory else 0
    print(
        f"{expected:,} of {count:,} documents answered in order, {bad} bad; the worker grew by {growth} MiB"
    )
    return int(expected != count or bad > 0 or growth > arguments.growth)


if __name__ == "__main__":
    sys.exit(main())
