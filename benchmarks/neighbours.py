"""Two workers on the cores of one node, and one worker alone, by how the idle threads of OpenMP wait.

Every side has two workers of the program with a model of real size and random weights, each with all cores. Idle
workers take no time, so all of them stay up, and the sides take turns within each round: one text at a time and texts
in bulk, at one worker and at both at once. Printed are minimum, median and maximum over the rounds, and the ratios of
the medians to the first side. Other load on the machine disturbs both sides alike.

    .venv/bin/python -m benchmarks.neighbours
    .venv/bin/python -m benchmarks.neighbours --model multilingual-paraphrase --spin 0 --rounds 20

Sides: `polls` is the default of GCC's OpenMP (GOMP_SPINCOUNT=300000, 3 ms), `own` what the worker sets (10000), and
each `--spin N` polls N times; 0 sleeps at once. The texts have 16 to 31 tokens alone and 40 to 70 in bulk.
"""

import argparse
import json
import os
import random
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.conditions import conditions, machine
from benchmarks.real_load import (
    BULK_TEXT,
    SHORT_TEXT,
    Call,
    bulk_rate,
    call_of,
    run_together,
    single_text_seconds,
    spread,
)
from benchmarks.real_size import SENTIMENT, create_real_size_cache, make_texts
from qda_worker.client import Client
from tests.service.worker.process import serving

_POLLS: Final = {"GOMP_SPINCOUNT": "300000", "OPENBLAS_THREAD_TIMEOUT": "26"}
_COUNTS: Final = (1, 2)
_SINGLE: Final = make_texts(200, SHORT_TEXT)
_BULK: Final = make_texts(500, BULK_TEXT)


def main() -> None:
    """Measure, and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=SENTIMENT, help="key of the model; default %(default)s")
    parser.add_argument("--rounds", type=int, default=10, help="repetitions; default %(default)s")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement; default %(default)s")
    parser.add_argument(
        "--spin", action="append", default=[], metavar="N", help="a further side with this spin count"
    )
    parser.add_argument(
        "--folder", type=Path, help="folder of the models, which are kept; default: a temporary one"
    )
    arguments = parser.parse_args()
    began, load = time.time(), os.getloadavg()[0]
    sides = {
        "polls": _POLLS,
        "own": {},
        **{f"polls {spin}": {"GOMP_SPINCOUNT": spin} for spin in arguments.spin},
    }
    found: dict[tuple[str, int, str], list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        calls = {side: _start(stack, folder, arguments, environ) for side, environ in sides.items()}
        for _ in range(arguments.rounds):
            for side in random.sample(list(calls), len(calls)):
                for count in _COUNTS:
                    _measure(found, side, calls[side][:count], arguments.seconds)
    _print(found, list(sides))
    rows = [
        {"measure": what, "workers": count, "side": side, "values": values}
        for (what, count, side), values in found.items()
    ]
    print(
        json.dumps(
            {"model": arguments.model, "conditions": {**machine(), **conditions(began, load)}, "rows": rows}
        )
    )


def _start(
    stack: ExitStack, folder: Path, arguments: argparse.Namespace, environ: dict[str, str]
) -> list[Call]:
    """Start the two workers of a side and return a call to each."""
    cache = create_real_size_cache(arguments.folder or folder / "models")
    options = ["--catalog", str(cache.catalog_file), "--cache", str(cache.cache), "--no-fetch"]
    calls = []
    for _ in _COUNTS:
        worker = stack.enter_context(serving(folder, *options, "--model", arguments.model, **environ))
        worker.wait_until_ready()
        calls.append(call_of(stack.enter_context(Client(worker.address)), arguments.model))
    return calls


def _measure(
    found: dict[tuple[str, int, str], list[float]], side: str, calls: list[Call], seconds: float
) -> None:
    """Measure one text at a time, then texts in bulk, at all `calls` at once."""
    singles = run_together([partial(single_text_seconds, call, _SINGLE, seconds) for call in calls])
    milliseconds = 1000 * median([duration for durations in singles for duration in durations])
    found.setdefault(("ms for one text", len(calls), side), []).append(milliseconds)
    rates = run_together([partial(bulk_rate, call, _BULK, seconds) for call in calls])
    found.setdefault(("texts per second", len(calls), side), []).append(sum(rates))


def _print(found: dict[tuple[str, int, str], list[float]], sides: list[str]) -> None:
    print(f"{'measure':<18} {'workers':>7}  {'side':<12} {'min / median / max':>28}  ratio to {sides[0]}")
    for what in ("ms for one text", "texts per second"):
        for count in _COUNTS:
            base = median(found[what, count, sides[0]])
            for side in sides:
                values = found[what, count, side]
                print(f"{what:<18} {count:>7}  {side:<12} {spread(values):>28}  {median(values) / base:.2f}")


if __name__ == "__main__":
    main()
