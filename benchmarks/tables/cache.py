"""The cache: fetching by `cache-warmer warm`, and `cache-check` without and with `--deep`."""

import sys
from pathlib import Path
from typing import Final

from benchmarks import check, check_deep, warm
from benchmarks.resource_usage import measure_usage
from benchmarks.results import Better, Bound, Goal, Role, Row, Side
from benchmarks.session import Session
from model_cache.catalog.lock import load_lock
from model_cache.catalog.parse import load_catalog

# Size in GB, number of files, and MB per second of each connection; 0: no limit.
_WARM: Final = ((0.2, 1, 25), (0.2, 4, 0))
_WARM_FULL: Final = ((1.0, 1, 25), (1.0, 1, 0), (4.0, 4, 0))
_LINE_GOAL: Final = 1.1
_PROCESSOR_GOAL: Final = 1.3


def warm_rows(session: Session) -> list[Row]:
    """Measure each size and line."""
    session.close_sides()
    found = []
    for number, (gigabytes, files, line) in enumerate(_WARM if session.quick else _WARM_FULL):
        folder = session.temporary / f"warm-{number}"
        folder.mkdir()
        runs = 1 if session.quick else 5
        warm_runs, copy_runs, server = warm.run_programs(folder, int(gigabytes * 10**9), files, runs, line)
        limit = f"{line} MB/s for each connection" if line else "none"
        labels = {
            "bytes": f"{gigabytes:g} GB in {files} file{'s' * (files > 1)}",
            "limit": limit,
            "server": server,
        }
        goal = Goal(Role.BASELINE, Bound.RATIO_AT_MOST, _LINE_GOAL if line else _PROCESSOR_GOAL)
        for measure, ours, copy, goals in (
            ("seconds", [run.seconds for run in warm_runs], [run.seconds for run in copy_runs], (goal,)),
            ("processor seconds", [run.cpu for run in warm_runs], [run.cpu for run in copy_runs], ()),
        ):
            found.append(
                Row(
                    labels,
                    measure,
                    Better.LOWER,
                    (Side("warm", Role.OURS, tuple(ours)), Side("copy", Role.BASELINE, tuple(copy))),
                    goals,
                )
            )
            print(f"  {labels} {measure}: warm {ours}, copy {copy}", flush=True)
    return found


def check_rows(session: Session) -> list[Row]:
    """Measure the default catalog and caches with many files."""
    session.close_sides()
    program = str(Path(sys.executable).with_name("cache-check"))
    runs = 7 if session.quick else 21
    root = session.temporary / "check"
    default = check.make_cache(
        root / "default", load_catalog(None).models, check.FILES_PER_MODEL, load_lock(None)
    )
    found = [
        _turns(
            "default catalog",
            [program, "--cache", str(default)],
            "bare interpreter",
            [sys.executable, "-c", "pass"],
            runs,
        )
    ]
    for count in (5_000,) if session.quick else check.FILE_COUNTS:
        catalog = check.write_catalog(root / f"{count}.yaml")
        cache = check.make_cache(root / str(count), load_catalog(catalog).models, count)
        command = [program, "--cache", str(cache), "--catalog", str(catalog)]
        found.append(_turns(f"{count:,} files", command, "find", check.find(cache), max(3, runs // 3)))
    return found


def deep_rows(session: Session) -> list[Row]:
    """Measure the deep check and sha256sum in turns."""
    session.close_sides()
    megabytes = 300 if session.quick else 4000
    root = session.temporary / "deep"
    root.mkdir()
    deep, plain, _ = check_deep.run_programs(root, megabytes, 3 if session.quick else 7)
    print(f"  --deep {deep}, sha256sum {plain}", flush=True)
    sides = (
        Side("cache-check --deep", Role.OURS, tuple(deep)),
        Side("sha256sum", Role.BASELINE, tuple(plain)),
    )
    labels = {"bytes": f"{megabytes:,} MB in {len(check_deep.SHARES)} files"}
    return [Row(labels, "seconds", Better.LOWER, sides, (Goal(Role.BASELINE, Bound.RATIO_AT_MOST, 1.1),))]


def _turns(what: str, command: list[str], baseline: str, other: list[str], runs: int) -> Row:
    """Run a program and its baseline in turns."""
    ours, base = [], []
    for _ in range(runs):
        ours.append(1000 * measure_usage(command).seconds)
        base.append(1000 * measure_usage(other).seconds)
    return Row(
        {"cache": what},
        "processor ms",
        Better.LOWER,
        (Side("cache-check", Role.OURS, tuple(ours)), Side(baseline, Role.BASELINE, tuple(base))),
    )
