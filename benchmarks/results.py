"""Results of the benchmarks: rows, statistics, and the JSON file that keeps them.

A table is a list of rows. A row compares sides by one measure: the worker, a baseline, and peers. The sides took turns,
so the n-th values of all of them were measured within the same repetition, and ratios are those of the repetitions as
well as of the medians. Imports the standard library only.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

SCHEMA: Final = 1


class Role(StrEnum):
    """What a side is in a comparison."""

    OURS = "ours"
    BASELINE = "baseline"
    PEER = "peer"


class Better(StrEnum):
    """Which direction of a measure is better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a row.

    Attributes:
        name: what was measured.
        role: ours, a peer, or the baseline: the bare computation, or ours without the load.
        values: one for each repetition; empty if it was not measured.
        note: engine, settings and the like; why it was not measured if there are no values.
    """

    name: str
    role: Role
    values: tuple[float, ...]
    note: str = ""


class Bound(StrEnum):
    """How a goal limits the comparison of our side with another one."""

    RATIO_AT_LEAST = "ratio at least"
    RATIO_AT_MOST = "ratio at most"
    DIFFERENCE_AT_MOST = "difference at most"


@dataclass(frozen=True, slots=True)
class Goal:
    """What our side shall reach: compared with the best measured side of a role."""

    role: Role
    bound: Bound
    value: float


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison by one measure.

    Attributes:
        labels: what distinguishes this row from others of the table, by column.
        measure: name of the measure, with its unit.
        better: which direction is better.
        sides: our side first.
        goals: what our side shall reach.
    """

    labels: dict[str, str]
    measure: str
    better: Better
    sides: tuple[Side, ...]
    goals: tuple[Goal, ...] = ()

    @property
    def ours(self) -> Side:
        """Our side."""
        return next(side for side in self.sides if side.role is Role.OURS)

    def best(self, role: Role) -> Side | None:
        """Return the measured side of a role with the best median, if there is one."""
        measured = [side for side in self.sides if side.role is role and side.values]
        pick = max if self.better is Better.HIGHER else min
        return pick(measured, key=lambda side: median(side.values), default=None)

    def is_ahead(self, side: Side) -> bool:
        """Whether the median of another side is better than ours."""
        if not side.values or not self.ours.values:
            return False
        other, own = median(side.values), median(self.ours.values)
        return other > own if self.better is Better.HIGHER else other < own

    def reached(self, goal: Goal) -> bool | None:
        """Whether a goal is reached by the medians; None if a side was not measured."""
        other = self.best(goal.role)
        if other is None or not self.ours.values:
            return None
        own = median(self.ours.values)
        if goal.bound is Bound.DIFFERENCE_AT_MOST:
            return own - median(other.values) <= goal.value
        ratio = own / median(other.values)
        return ratio >= goal.value if goal.bound is Bound.RATIO_AT_LEAST else ratio <= goal.value

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the row of a JSON document."""
        return cls(
            dict(document["labels"]),
            document["measure"],
            Better(document["better"]),
            tuple(
                Side(side["name"], Role(side["role"]), tuple(side["values"]), side["note"])
                for side in document["sides"]
            ),
            tuple(
                Goal(Role(goal["role"]), Bound(goal["bound"]), goal["value"]) for goal in document["goals"]
            ),
        )


@dataclass(frozen=True, slots=True)
class Table:
    """The result of one table of the benchmark.

    Attributes:
        rows: its comparisons.
        quick: whether it was measured by the quick run.
        conditions: load of the machine, versions, commit, date and duration.
        notes: what a reader must know, as sentences.
    """

    rows: tuple[Row, ...]
    quick: bool
    conditions: dict[str, Any]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the table of a JSON document."""
        rows = tuple(Row.from_json(row) for row in document["rows"])
        return cls(rows, document["quick"], dict(document["conditions"]), tuple(document["notes"]))


@dataclass(frozen=True, slots=True)
class Results:
    """The tables of one machine.

    Attributes:
        machine: processor, flags, cores, threads and memory.
        tables: by name.
    """

    machine: dict[str, Any]
    tables: dict[str, Table] = field(default_factory=dict)

    def with_table(self, name: str, table: Table) -> "Results":
        """Return the results with one table added or replaced."""
        return Results(self.machine, {**self.tables, name: table})

    def save(self, path: Path) -> None:
        """Write the file; a reader sees the former content or the new one."""
        document = {"schema": SCHEMA, **asdict(self)}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        text = json.dumps(_rounded(document), ensure_ascii=False, indent=1, sort_keys=True)
        partial.write_text(f"{text}\n", "utf-8")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            SystemExit: it has another schema.
        """
        document = json.loads(path.read_text("utf-8"))
        if document.get("schema") != SCHEMA:
            raise SystemExit(f"{path} has schema {document.get('schema')}, this program reads {SCHEMA}")
        tables = {name: Table.from_json(table) for name, table in document["tables"].items()}
        return cls(document["machine"], tables)


def ratios(ours: Side, other: Side) -> tuple[float, ...]:
    """Return our value divided by the other side's, repetition by repetition."""
    return tuple(own / one for own, one in zip(ours.values, other.values, strict=False) if one)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed (nearest rank).

    Args:
        values: at least one.
        share: from 0 to 1.
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _rounded(value: Any) -> Any:
    """Return a document with numbers of five significant digits, which are more than repetitions agree in."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(one) for one in value]
    return value
