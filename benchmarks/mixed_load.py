"""Memory of workers under a mixed load of all services, after some minutes and at the end.

    .venv/bin/python -m benchmarks.mixed_load                        # an hour
    .venv/bin/python -m benchmarks.mixed_load --minutes 8 --settled 2

Two workers: one with four tiny models, which answers calls of all services and streams of documents, and one with the
sentiment model of real size (`real_size`). All texts are different, and their lengths and numbers vary. PSS is that of
the worker and its children. The exit code is 1 if a call failed, or if a worker's PSS at the end is more than --growth
percent above that after --settled minutes.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.documents_soak import target
from benchmarks.real_size import SENTIMENT, create_real_size_cache, make_texts
from benchmarks.session import FOLDER
from benchmarks.sides import WorkerSide
from benchmarks.tables.memory import process_memory
from qda_worker.client import Client, EmbeddingTask, EntityTask, SentimentTask, Settings, Text

_MIB: Final = 2**20
# Number of texts of a call, and tokens of the longest ones.
_MOST_TEXTS: Final = 40
_MOST_TOKENS: Final = 200
_SAMPLES: Final = 8


@dataclass
class Load:
    """One kind of call, repeated by a thread until the end.

    Attributes:
        name: for the table.
        call: computes texts, and returns their results.
        calls: number of calls that were answered.
        failures: what went wrong.
    """

    name: str
    call: Callable[[list[str]], Any]
    calls: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self, end: float, seed: int) -> None:
        """Call until `end`, a time of the monotonic clock."""
        rng = random.Random(seed)  # noqa: S311  # not secret
        while time.monotonic() < end:
            tokens = rng.randint(10, _MOST_TOKENS)
            texts = make_texts(rng.randint(2, _MOST_TEXTS), (tokens // 2, tokens), rng.getrandbits(32))
            try:
                if not all(result.ok for result in self.call(texts)):
                    self.failures.append("a text failed")
            except Exception as error:  # noqa: BLE001  # the load goes on, and the exit code tells
                self.failures.append(f"{type(error).__name__}: {error}")
            self.calls += 1


def small_loads(client: Client) -> list[Load]:
    """Return the calls of a worker with tiny models."""

    def analyze(texts: list[str]) -> list[Any]:
        documents = [Text(text, id=str(number)) for number, text in enumerate(texts)]
        return list(client.analyze(documents, [SentimentTask(), EntityTask(), EmbeddingTask()]))

    def find_pairs(texts: list[str]) -> list[Any]:
        client.find_paraphrases(texts, best=3)
        return []

    return [
        Load("sentiment", client.sentiment),
        Load("entities", client.entities),
        Load("embedding", client.embed),
        Load("paraphrases", find_pairs),
        Load("documents", analyze),
    ]


def main() -> int:
    """Run the load, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60.0, help="duration (default: %(default)s)")
    parser.add_argument(
        "--settled", type=float, default=5.0, help="minutes until the first figure (default: 5)"
    )
    parser.add_argument("--growth", type=float, default=5.0, help="greatest growth in percent (default: 5)")
    options = parser.parse_args()
    if not 0 < options.settled < options.minutes:
        parser.error("--settled must be between 0 and --minutes")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        address, processes = stack.enter_context(target(None))
        client = stack.enter_context(Client(Settings(address, timeout=600)))
        large = WorkerSide(stack, folder, create_real_size_cache(FOLDER / "models"), SENTIMENT)
        loads = [*small_loads(client), Load("sentiment of real size", large.client.sentiment)]
        pids = {"tiny models": processes[0], "sentiment of real size": large.process.process.pid}
        rows = run_loads(loads, pids, 60 * options.minutes, 60 * options.settled)
    return report(loads, rows, options.growth)


def run_loads(
    loads: Sequence[Load], pids: dict[str, int], seconds: float, settled: float
) -> list[tuple[float, dict[str, float]]]:
    """Run all loads, and return the PSS of each process in MiB, by its name, with the minutes that had passed."""
    began = time.monotonic()
    threads = [
        threading.Thread(target=load.run, args=(began + seconds, number)) for number, load in enumerate(loads)
    ]
    for thread in threads:
        thread.start()
    rows = []
    step = (seconds - settled) / (_SAMPLES - 1)
    for number in range(_SAMPLES):
        time.sleep(max(0.0, began + settled + number * step - time.monotonic()))
        found = {name: process_memory(pid)["Pss"] / _MIB for name, pid in pids.items()}
        rows.append(((time.monotonic() - began) / 60, found))
        shown = ", ".join(f"{name} {pss:.0f} MiB" for name, pss in found.items())
        print(f"{rows[-1][0]:6.1f} min: {shown}", flush=True)
    for thread in threads:
        thread.join()
    return rows


def report(loads: Sequence[Load], rows: Sequence[tuple[float, dict[str, float]]], growth: float) -> int:
    """Print what was called and how the memory has grown; return the exit code."""
    for load in loads:
        print(f"{load.name}: {load.calls} calls, {len(load.failures)} failed {load.failures[:1] or ''}")
    failed = any(load.failures or not load.calls for load in loads)
    for name, first in rows[0][1].items():
        percent = 100 * (rows[-1][1][name] / first - 1)
        print(f"{name}: PSS {percent:+.1f} %")
        failed = failed or percent > growth
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
