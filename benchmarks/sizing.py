"""What a worker needs: time to Ready, memory, throughput and latency, by model and number of threads.

The models have real sizes and random weights (`real_size`); the entity model is the small one of the tests. Each row
starts a worker of its own with the files in the page cache, measures it, and stops it:

- Ready: seconds from the start of the process to `server.ready`;
- private: memory of its own (anonymous pages) of all its processes, when it is ready;
- peak: the maximum of that, while it starts and under load;
- mapped: pages of files (weights, libraries), which all workers of a node share;
- second: the memory that one more worker takes on the node (PSS of both, less that of the first alone), with the last
  number of threads;
- one text: median duration of calls with one text of 16 to 31 tokens, one after the other;
- texts/s: texts of 40 to 70 tokens in bulk; for all models, the sum while all of them compute.

    .venv/bin/python -m benchmarks.sizing
    .venv/bin/python -m benchmarks.sizing --runs 1 --threads 1 --models german-sentiment all --folder /var/tmp/models
    .venv/bin/python -m benchmarks.sizing --runs 0 --records sizing.jsonl       # the table of earlier runs

Printed are a table of medians and the spread (minimum and maximum) of times and rates. Runs are interleaved: each one
measures every row. With --records, each measurement is appended to a file at once, and the table has those of the file.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.conditions import conditions, machine
from benchmarks.real_load import (
    BULK_TEXT,
    SHORT_TEXT,
    bulk_rate,
    call_of,
    run_together,
    single_text_seconds,
)
from benchmarks.real_size import (
    EMBEDDING,
    ENTITIES,
    PARAPHRASE,
    SENTIMENT,
    create_real_size_cache,
    make_texts,
)
from qda_worker.client import Client
from tests.service.worker.fixtures import CacheFixture
from tests.service.worker.process import ServeProcess, serving

_ALL: Final = "all"
_KEYS: Final = (SENTIMENT, ENTITIES, PARAPHRASE, EMBEDDING)
_SINGLE: Final = make_texts(200, SHORT_TEXT)
_BULK: Final = make_texts(500, BULK_TEXT)
_MIB: Final = 2**20
# Seconds between two looks at the private memory.
_SAMPLE_SECONDS: Final = 0.1
# Names of the figures, with the heading of their column.
_COLUMNS: Final = {
    "ready_seconds": "Ready, s",
    "private_mib": "private, MiB",
    "peak_mib": "peak, MiB",
    "mapped_mib": "mapped, MiB",
    "second_mib": "second, MiB",
    "one_text_ms": "one text, ms",
    "texts_per_second": "texts/s",
}
_WITH_SPREAD: Final = ("ready_seconds", "one_text_ms", "texts_per_second")

Record = dict[str, Any]


def main() -> None:
    """Measure, and print the table and one line of JSON with the conditions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=[*_KEYS, _ALL], help="keys, or `all` for all at once")
    parser.add_argument(
        "--threads", nargs="+", type=int, default=[1, 2], help="numbers of threads; default 1 2"
    )
    parser.add_argument("--runs", type=int, default=3, help="repetitions; default %(default)s")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load; default %(default)s")
    parser.add_argument(
        "--folder", type=Path, help="folder of the models, which are kept; default: a temporary one"
    )
    parser.add_argument("--records", type=Path, help="file that gets a line of JSON for each measurement")
    arguments = parser.parse_args()
    began, load = time.time(), os.getloadavg()[0]
    records: list[Record] = []
    if arguments.records and arguments.records.exists():
        records += [json.loads(line) for line in arguments.records.read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(arguments.runs):
            cache = create_real_size_cache(arguments.folder or folder / "models")
            for model in arguments.models:
                for threads in arguments.threads:
                    record = _measure(
                        folder,
                        cache,
                        model,
                        threads,
                        arguments.seconds,
                        with_second=threads == arguments.threads[-1],
                    )
                    records.append(record)
                    if arguments.records:
                        with arguments.records.open("a", encoding="utf-8") as out:
                            out.write(json.dumps(record) + "\n")
    _print_table(records)
    print(json.dumps({**machine(), **conditions(began, load)}))


def _measure(
    folder: Path, cache: CacheFixture, model: str, threads: int, seconds: float, *, with_second: bool
) -> Record:
    """Start a worker with one model or all, measure it, then start a second one beside it."""
    keys = _KEYS if model == _ALL else (model,)
    began = time.monotonic()
    with _started(folder, cache, keys, threads) as (worker, peak):
        ready = time.monotonic() - began
        memory = _memory(worker.process.pid)
        with Client(worker.address) as client:
            calls = [call_of(client, key) for key in keys]
            singles = [single_text_seconds(call, _SINGLE, seconds) for call in calls if model != _ALL]
            rates = run_together([partial(bulk_rate, call, _BULK, seconds) for call in calls])
        loaded = _memory(worker.process.pid)
        second_mib = None
        if with_second:
            with _started(folder, cache, keys, threads) as (second, _):
                both = _memory(worker.process.pid)["Pss"] + _memory(second.process.pid)["Pss"]
            second_mib = (both - loaded["Pss"]) / _MIB
    return {
        "model": model,
        "threads": threads,
        "ready_seconds": ready,
        "private_mib": memory["RssAnon"] / _MIB,
        "peak_mib": max(peak) / _MIB,
        "mapped_mib": loaded["RssFile"] / _MIB,
        "second_mib": second_mib,
        "one_text_ms": 1000 * median(singles[0]) if singles else None,
        "texts_per_second": sum(rates),
    }


@contextmanager
def _started(
    folder: Path, cache: CacheFixture, keys: Sequence[str], threads: int
) -> Iterator[tuple[ServeProcess, Sequence[int]]]:
    """Start a worker, wait until it is ready, and yield it with a growing list of its private memory in bytes."""
    options = ["--catalog", str(cache.catalog_file), "--cache", str(cache.cache), "--no-fetch"]
    models = [part for key in keys for part in ("--model", key)]
    private: list[int] = []
    stopped = threading.Event()
    with serving(folder, *options, *models, "--threads", str(threads)) as worker:

        def sample() -> None:
            while not stopped.wait(_SAMPLE_SECONDS):
                with suppress(OSError):  # a thread or process of the worker has just ended
                    private.append(_memory(worker.process.pid, "status")["RssAnon"])

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            worker.wait_until_ready()
            yield worker, private
        finally:
            stopped.set()
            sampler.join()


def _memory(pid: int, *files: str) -> dict[str, int]:
    """Return the memory of a process and its children, in bytes, by the kernel's names."""
    total = dict.fromkeys(("RssAnon", "RssFile", "Pss"), 0)
    for process in _process_ids(pid):
        for name in files or ("status", "smaps_rollup"):
            for line in Path(f"/proc/{process}/{name}").read_text("utf-8").splitlines():
                field, _, value = line.partition(":")
                if field in total:
                    total[field] += int(value.split()[0]) * 1024
    return total


def _process_ids(pid: int) -> Iterator[int]:
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text("ascii").split():
            yield from _process_ids(int(child))


def _print_table(records: list[Record]) -> None:
    rows: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        rows.setdefault((record["model"], record["threads"]), []).append(record)
    print("| model | threads | " + " | ".join(_COLUMNS.values()) + " |")
    print("| --- " * (len(_COLUMNS) + 2) + "|")
    for (model, threads), found in rows.items():
        cells = [_cell(name, [record[name] for record in found]) for name in _COLUMNS]
        print(f"| {model} | {threads} | {' | '.join(cells)} |")


def _cell(name: str, found: list[float | None]) -> str:
    values = [value for value in found if value is not None]
    if not values:
        return ""
    digits = 0 if name.endswith("_mib") else 1
    text = f"{median(values):.{digits}f}"
    if name in _WITH_SPREAD and len(values) > 1:
        text += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return text


if __name__ == "__main__":
    main()
