"""The page docs/benchmarks.md: made from the files in benchmarks/results and from nothing else.

For each machine and table the page has the newest full measurement, or the newest quick one if there is none. Plots are
drawn by `benchmarks.plots` in an environment with matplotlib. Each begins with a comment that has the hash of what it
shows, so that a test can tell without matplotlib whether it belongs to the page.
"""

import hashlib
import json
import re
import subprocess
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.conditions import ROOT
from benchmarks.environments import python_of
from benchmarks.results import Bound, Goal, Results, Role, Row, Side, Table, ratios
from benchmarks.tables import TABLES

RESULTS: Final = ROOT / "benchmarks" / "results"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
IMAGES: Final = ROOT / "docs" / "images"
_PREFIX: Final = "benchmarks-"
# Characters of a line of prose.
_WIDTH: Final = 120
_HEAD: Final = """\
# Benchmarks

Measured by `make bench` (quick) and `make bench-full`, on models with the sizes of the default catalog's and random
weights. This page is written by `python -m benchmarks page` from the files in `benchmarks/results`.
[benchmarks/README.md](../benchmarks/README.md) says how to repeat it.

- All sides of a row ran on the same machine and took turns: a value is one repetition. Compare ratios, not times of
  different machines.
- The ratio is ours divided by the other side's: of the medians, and in parentheses the smallest and the largest of the
  repetitions. A side that is better than ours is in bold.
- A load average above 1 at the start of a table is that of other work, which slows all sides and widens the spread:
  such figures show that the table can be measured, and little more.
- Peers run in environments of their own with the settings that their documentation recommends, on the same weights,
  texts and number of threads.
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot of bars: what is compared, and the median, minimum and maximum of each side."""

    title: str
    measure: str
    bars: tuple[tuple[str, str, float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """One image of several panels."""

    file: str
    panels: tuple[Panel, ...]

    @property
    def digest(self) -> str:
        """Hash of what the image shows."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


# Measures of a table that are plotted; of the others the table is enough.
_PLOTTED: Final = {
    "throughput": "texts per second",
    "latency": "p95, ms",
    "interactive": "p99, ms",
    "memory": "PSS of all, MiB",
}


def write_page() -> None:
    """Write the page, and the plots that have changed; remove those of former pages.

    Raises:
        environments.NotMeasured: matplotlib cannot be installed.
    """
    results = load_results(RESULTS)
    PAGE.write_text(page_text(results), "utf-8")
    plots = all_plots(results)
    IMAGES.mkdir(exist_ok=True)
    stale = [plot for plot in plots if shown_digest(IMAGES / plot.file) != plot.digest]
    if stale:
        document = json.dumps([{**asdict(plot), "digest": plot.digest} for plot in stale])
        command = [str(python_of("plots")), "-m", "benchmarks.plots", str(IMAGES)]
        subprocess.run(command, input=document, text=True, cwd=ROOT, check=True)
    for path in IMAGES.glob(f"{_PREFIX}*.svg"):
        if path.name not in {plot.file for plot in plots}:
            path.unlink()


def load_results(folder: Path) -> list[Results]:
    """Return the results of each machine, with one measurement of each table."""
    machines: dict[str, Results] = {}
    for path in sorted(folder.glob("*.json")):
        results = Results.load(path)
        key = json.dumps(results.machine, sort_keys=True)
        known = machines.setdefault(key, Results(results.machine))
        for name, table in results.tables.items():
            former = known.tables.get(name)
            if former is None or _rank(table) >= _rank(former):
                known = known.with_table(name, table)
        machines[key] = known
    return [machines[key] for key in sorted(machines)]


def page_text(machines: Sequence[Results]) -> str:
    """Return the page."""
    parts = [_HEAD]
    for results in machines:
        parts += [
            f"## {heading(results)}\n",
            _machine_text(results),
            _goals_text(results),
            _peers_text(results),
        ]
        plots = {plot.file: plot for plot in plots_of(results)}
        for name, table in _in_order(results):
            info = TABLES[name]
            parts += [f"### {info.title}\n", f"{textwrap.fill(info.description, _WIDTH)}\n"]
            if (file := _plot_file(results, name)) in plots:
                parts.append(f"![{info.title}: the figures of the table below](images/{file})\n")
            parts += [format_table(table), _conditions_text(table)]
    return "\n".join(part for part in parts if part).rstrip("\n") + "\n"


def format_table(table: Table) -> str:
    """Return a table as Markdown."""
    columns = list(dict.fromkeys(label for row in table.rows for label in row.labels))
    lines = [
        "| " + " | ".join([*columns, "measure", "side", "median", "min to max", "n", "ours : side"]) + " |",
        "| --- " * (len(columns) + 6) + "|",
    ]
    for row in table.rows:
        for number, side in enumerate(row.sides):
            labels = [row.labels.get(column, "") if number == 0 else "" for column in columns]
            measure = f"{row.measure} ({row.better} is better)" if number == 0 else ""
            lines.append("| " + " | ".join([*labels, measure, *_cells(row, side)]) + " |")
    notes = [f"- {note}" for note in dict.fromkeys([*table.notes, *_side_notes(table)])]
    return "\n".join([*lines, "", *notes, *([""] if notes else [])])


def all_plots(machines: Iterable[Results]) -> list[Plot]:
    """Return the plots of all machines."""
    return [plot for results in machines for plot in plots_of(results)]


def plots_of(results: Results) -> list[Plot]:
    """Return the plots of a machine: one for each table that has a plotted measure."""
    found = []
    for name, measure in _PLOTTED.items():
        rows = (
            [row for row in results.tables[name].rows if row.measure == measure]
            if name in results.tables
            else []
        )
        panels = tuple(_panel(row) for row in rows if any(side.values for side in row.sides))
        if panels:
            found.append(Plot(_plot_file(results, name), panels))
    return found


def shown_digest(path: Path) -> str:
    """Return the hash in the comment of a plot; empty if there is none."""
    if not path.exists():
        return ""
    found = re.search(r"<!-- data ([0-9a-f]{64}) -->", path.read_text("utf-8"))
    return found[1] if found else ""


def heading(results: Results) -> str:
    """Return the heading of a machine."""
    return f"{results.machine['processor']}, {results.machine['cores']} cores"


def _in_order(results: Results) -> list[tuple[str, Table]]:
    """Return the tables of a machine in the order of the page."""
    return [(name, results.tables[name]) for name in TABLES if name in results.tables]


def _panel(row: Row) -> Panel:
    bars = tuple(
        (side.name, str(side.role), median(side.values), min(side.values), max(side.values))
        for side in row.sides
        if side.values
    )
    return Panel(", ".join(row.labels.values()), f"{row.measure} ({row.better} is better)", bars)


def _plot_file(results: Results, table: str) -> str:
    machine = hashlib.sha256(json.dumps(results.machine, sort_keys=True).encode()).hexdigest()[:8]
    return f"{_PREFIX}{machine}-{table}.svg"


def _rank(table: Table) -> tuple[bool, str]:
    return not table.quick, str(table.conditions["date"])


def _cells(row: Row, side: Side) -> list[str]:
    if not side.values:
        return [side.name, "not measured", "", "", ""]
    name = f"**{side.name}**" if side.role is not Role.BASELINE and row.is_ahead(side) else side.name
    middle = number_text(median(side.values))
    spread = f"{number_text(min(side.values))} to {number_text(max(side.values))}"
    ratio = ""
    if side is not row.ours and row.ours.values:
        each = ratios(row.ours, side)
        ratio = f"{median(row.ours.values) / median(side.values):.2f} ({min(each):.2f} to {max(each):.2f})"
    return [name, middle, spread, str(len(side.values)), ratio]


def _side_notes(table: Table) -> Iterator[str]:
    for row in table.rows:
        for side in row.sides:
            if side.note:
                where = (
                    f"{', '.join(row.labels.values())}: " if not side.values or side.role is Role.OURS else ""
                )
                yield f"{where}{side.name}: {side.note}"


def number_text(value: float) -> str:
    """Return a number with three significant digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _machine_text(results: Results) -> str:
    about: dict[str, Any] = results.machine
    flags = ", ".join(about["flags"]) or "none of those that matter"
    return f"Instruction sets: {flags}. Memory: {about['memory_gib']} GiB.\n"


def _goals_text(results: Results) -> str:
    """Return the goals of all tables, and whether they are reached."""
    lines = ["| goal | where | measured | reached |", "| --- | --- | --- | --- |"]
    for name, table in _in_order(results):
        for row in table.rows:
            for goal in row.goals:
                other, reached = row.best(goal.role), row.reached(goal)
                if other is None or reached is None:
                    continue
                where = ", ".join([TABLES[name].title, *row.labels.values(), row.measure])
                cells = [
                    _goal_text(goal, other),
                    where,
                    _found(row, goal, other),
                    "yes" if reached else "**no**",
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""]) if len(lines) > 2 else ""


def _goal_text(goal: Goal, other: Side) -> str:
    words = {
        Bound.RATIO_AT_LEAST: "at least",
        Bound.RATIO_AT_MOST: "at most",
        Bound.DIFFERENCE_AT_MOST: "at most",
    }
    times = f"{goal.value:g} more than" if goal.bound is Bound.DIFFERENCE_AT_MOST else f"{goal.value:g} times"
    return f"{words[goal.bound]} {times} {other.name}"


def _found(row: Row, goal: Goal, other: Side) -> str:
    own, base = median(row.ours.values), median(other.values)
    if goal.bound is Bound.DIFFERENCE_AT_MOST:
        return f"{number_text(own)} against {number_text(base)}: {own - base:+.1f}"
    return f"{number_text(own)} against {number_text(base)}: {own / base:.2f}"


def _peers_text(results: Results) -> str:
    """Return the rows in which a peer is ahead."""
    ahead = [
        f"- {TABLES[name].title}, {', '.join(row.labels.values())}, {row.measure}: {side.name} "
        f"{number_text(median(side.values))}, ours {number_text(median(row.ours.values))}"
        for name, table in _in_order(results)
        for row in table.rows
        for side in row.sides
        if side.role is Role.PEER and row.is_ahead(side)
    ]
    if not ahead:
        return "No peer is ahead of the worker in any row.\n"
    return "\n".join(["Where a peer is ahead:", "", *ahead, ""])


def _conditions_text(table: Table) -> str:
    about = table.conditions
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    load = f"load average {number_text(about['load_average'])} at its start"
    return (
        f"{'Quick' if table.quick else 'Full'} run of {about['date']}, commit {about['commit']}, {about['seconds']} s, "
        f"{about['threads']} threads, {load}, Python {about['python']}, Linux {about['kernel']}; {versions}.\n"
    )
