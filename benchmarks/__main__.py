"""Measures tables, and writes the page with all results.

    python -m benchmarks run --quick                              # every table, about 5 minutes on two cores
    python -m benchmarks run --resume                             # every table in full, unless the file has it
    python -m benchmarks run --table latency --quick --out FILE   # one table, into that file
    python -m benchmarks prepare                                  # environments of the peers, models of real size
    python -m benchmarks page                                     # docs/benchmarks.md and its plots

The results of `run` go to `benchmarks/results/PROCESSOR-DATE.json`, with --quick to `PROCESSOR-DATE-quick.json`. Each
table is written as soon as it was measured, so that a run can be interrupted and resumed.
"""

import argparse
import os
import re
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from benchmarks import environments
from benchmarks.conditions import ROOT, conditions, machine
from benchmarks.page import PAGE, format_table, write_page
from benchmarks.results import Results, Table
from benchmarks.tables import TABLES

RESULTS: Final = ROOT / "benchmarks" / "results"


def main() -> int:
    """Run a command and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure tables")
    run.add_argument(
        "--table",
        nargs="+",
        choices=list(TABLES),
        default=[name for name, table in TABLES.items() if table.by_default],
        help="default: all but cuda, which needs a CUDA device",
    )
    run.add_argument("--quick", action="store_true", help="a part of each table, in a short time")
    run.add_argument("--out", type=Path, help="file of the results; tables are added or replaced")
    run.add_argument("--resume", action="store_true", help="leave out the tables that the file has already")
    prepare = commands.add_parser("prepare", help="make the environments of the peers and the models")
    prepare.add_argument("--retry", action="store_true", help="try again what failed before")
    commands.add_parser("page", help="write docs/benchmarks.md and its plots")
    arguments = parser.parse_args()
    if arguments.command == "run":
        return _run(arguments)
    if arguments.command == "prepare":
        return _prepare(retry=arguments.retry)
    write_page()
    print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    """Measure the tables; return 1 if one of them failed."""
    from benchmarks.session import Session

    about = machine()
    path = arguments.out or RESULTS / default_name(about, quick=arguments.quick)
    results = Results.load(path) if path.exists() else Results(about)
    if results.machine != about:
        raise SystemExit(f"{path} has the results of another machine: {results.machine}")
    failed = []
    began_run = time.monotonic()
    with ExitStack() as stack:
        session = Session(stack, quick=arguments.quick)
        for name in arguments.table:
            known = results.tables.get(name)
            if arguments.resume and known and known.quick == arguments.quick:
                print(f"== {name}: in {path} already", flush=True)
                continue
            print(f"== {name}", flush=True)
            began, load = time.time(), os.getloadavg()[0]
            try:
                rows = TABLES[name].load()(session)
            except Exception as error:  # noqa: BLE001  # the other tables are measured all the same
                print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
                failed.append(name)
                session.close_sides()
                continue
            table = Table(tuple(rows), arguments.quick, conditions(began, load))
            results = results.with_table(name, table)
            results.save(path)
            print(format_table(table), flush=True)
            if not arguments.quick:
                session.close_sides()
    print(f"{time.monotonic() - began_run:.0f} s; results: {path}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _prepare(*, retry: bool) -> int:
    """Make what the tables need, so that its time does not belong to them."""
    from benchmarks.real_size import PARAPHRASE
    from benchmarks.results import Role
    from benchmarks.session import REDUCED, Session, attempt

    for name in environments.names():
        try:
            environments.python_of(name, retry=retry)
        except environments.NotMeasured as error:
            print(f"{name}: {error}", file=sys.stderr)
    with ExitStack() as stack:  # exports the model, if that was not done before
        session = Session(stack, quick=True)
        attempt("bare OpenVINO", Role.BASELINE, session.library, "bare-openvino", PARAPHRASE)
        session.close_sides()
        for precision in REDUCED:
            attempt(f"the form in {precision}", Role.OURS, session.cache_with_form, PARAPHRASE, precision)
    return 0


def default_name(about: dict[str, object], *, quick: bool) -> str:
    """Return the name of the file for this machine and day."""
    processor = re.sub(r"[^a-z0-9]+", "-", str(about["processor"]).lower()).strip("-")
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{processor}-{date}{'-quick' * quick}.json"


if __name__ == "__main__":
    # The sides are processes of their own, which the end of this one must stop.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
