"""The pure parts of the benchmarks: statistics, results and the page, which belongs to the committed results."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from benchmarks.__main__ import default_name
from benchmarks.environments import NotMeasured
from benchmarks.page import (
    IMAGES,
    PAGE,
    RESULTS,
    all_plots,
    format_table,
    load_results,
    page_text,
    plots_of,
    shown_digest,
)
from benchmarks.peers.program import ENTITY_COMPONENTS
from benchmarks.results import Better, Bound, Goal, Results, Role, Row, Side, Table, percentile, ratios
from benchmarks.session import Turn, attempt, compare, measured
from benchmarks.sides import Contestant
from benchmarks.tables import TABLES
from benchmarks.tables.throughput import mixed_texts
from benchmarks.ungated_forms import make_ungated_form
from model_cache.catalog.catalog import Task
from model_cache.prepared_form import gate_failure
from model_cache.prepared_store import read_form
from qda_worker.models.spacy_components import SyntaxLayer, describe_components, required_components
from tests.support.precisions import AVAILABLE
from tests.support.tiny_models import hub_model, write_embedding

MACHINE: Final = {"processor": "Some CPU @ 2.0 GHz", "flags": ["avx2"], "cores": 2, "memory_gib": 8}


def table(*rows: Row, quick: bool = False, date: str = "2026-01-01T00:00:00Z") -> Table:
    conditions: dict[str, Any] = {
        "commit": "abc", "date": date, "seconds": 3, "load_average": 1.5, "kernel": "6", "python": "3.11", "threads": 2,
        "versions": {"torch": "2"},
    }  # fmt: skip
    return Table(rows, quick, conditions)


def row(*sides: Side, better: Better = Better.HIGHER, goals: tuple[Goal, ...] = ()) -> Row:
    return Row({"model": "m"}, "texts per second", better, sides, goals)


OURS: Final = Side("worker", Role.OURS, (9.0, 10.0, 14.0), "engine torch")
BASE: Final = Side("bare", Role.BASELINE, (10.0, 10.0, 20.0))
PEER: Final = Side("peer", Role.PEER, (11.0, 12.0, 10.0))
ABSENT: Final = Side("absent", Role.PEER, (), "not measured: it cannot be installed")


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 0.99, 1), (100, 0.5, 50), (100, 0.99, 99), (200, 0.95, 190), (3, 0.5, 2)],
)
def test_a_percentile_is_the_value_of_nearest_rank(count: int, share: float, expected: int) -> None:
    assert percentile(list(range(count, 0, -1)), share) == expected


def test_ratios_are_those_of_the_repetitions() -> None:
    assert ratios(OURS, BASE) == (0.9, 1.0, 0.7)


@pytest.mark.parametrize(
    ("bound", "value", "reached"),
    [
        (Bound.RATIO_AT_LEAST, 1.0, True),
        (Bound.RATIO_AT_LEAST, 1.01, False),
        (Bound.RATIO_AT_MOST, 1.0, True),
        (Bound.RATIO_AT_MOST, 0.99, False),
        (Bound.DIFFERENCE_AT_MOST, 0.0, True),
        (Bound.DIFFERENCE_AT_MOST, -0.1, False),
    ],
)
def test_a_goal_compares_medians(bound: Bound, value: float, reached: bool) -> None:
    assert row(OURS, BASE).reached(Goal(Role.BASELINE, bound, value)) is reached


def test_a_goal_compares_with_the_best_side_of_its_role() -> None:
    slower = Side("slower", Role.PEER, (1.0,))
    compared = row(OURS, slower, PEER, ABSENT)
    assert compared.best(Role.PEER) == PEER
    assert compared.reached(Goal(Role.PEER, Bound.RATIO_AT_LEAST, 1.0)) is False
    lower = row(OURS, slower, PEER, better=Better.LOWER)
    assert lower.best(Role.PEER) == slower


@dataclass
class FakeSide:
    name: str
    role: Role = Role.PEER
    note: str = ""
    ready_seconds: float = 0.0

    def bulk_seconds(self, texts: Sequence[str]) -> float:
        return float(len(texts))

    def single_seconds(self, texts: Sequence[str]) -> list[float]:
        return [1.0 for _ in texts]


def test_sides_take_turns_and_another_one_begins_each_time() -> None:
    turns: list[tuple[str, int]] = []

    def measure(side: Contestant, number: int) -> int:
        turns.append((side.name, number))
        return 10 * number

    sides: list[Turn] = [FakeSide("a"), ABSENT, FakeSide("b")]
    values = compare(sides, 3, measure)
    assert turns == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert values == {"a": [0, 10, 20], "b": [0, 10, 20]}
    assert [side.values for side in measured(sides, values)] == [(0, 10, 20), (), (0, 10, 20)]


def test_a_side_that_cannot_be_measured_says_why() -> None:
    def start(reason: str) -> FakeSide:
        raise NotMeasured(reason)

    side = attempt("peer", Role.PEER, start, "no memory")
    assert side == Side("peer", Role.PEER, (), "not measured: no memory")
    assert compare([side], 3, lambda _side, _number: 0) == {}


def test_a_mix_has_as_many_texts_of_each_length_as_it_says() -> None:
    texts = mixed_texts("8 to 128 tokens", 100, 1)
    assert len(texts) == 100
    assert len(set(texts)) == 100
    assert sum(len(text.split()) > 90 for text in texts) == 15
    assert texts != mixed_texts("8 to 128 tokens", 100, 2)


def test_a_goal_without_a_measured_side_is_open() -> None:
    assert row(OURS, ABSENT).reached(Goal(Role.PEER, Bound.RATIO_AT_LEAST, 1.0)) is None


@pytest.mark.parametrize(("better", "ahead"), [(Better.HIGHER, True), (Better.LOWER, False)])
def test_the_direction_decides_which_side_is_ahead(better: Better, ahead: bool) -> None:
    assert row(OURS, PEER, better=better).is_ahead(PEER) is ahead


def test_results_survive_their_file(tmp_path: Path) -> None:
    goal = Goal(Role.PEER, Bound.RATIO_AT_LEAST, 1.0)
    results = Results(MACHINE, {"throughput": table(row(OURS, BASE, ABSENT, goals=(goal,)))})
    path = tmp_path / "folder" / "results.json"
    results.save(path)
    assert Results.load(path) == results
    assert [one.name for one in path.parent.iterdir()] == ["results.json"]


def test_results_of_another_schema_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"schema": 0}))
    with pytest.raises(SystemExit, match="schema 0"):
        Results.load(path)


def test_a_full_measurement_goes_before_a_newer_quick_one(tmp_path: Path) -> None:
    old, new, quick = (Side("worker", Role.OURS, (value,)) for value in (1.0, 2.0, 3.0))
    for name, found in (
        ("a", table(row(quick), quick=True, date="2026-03-01")),
        ("b", table(row(new), date="2026-02-01")),
        ("c", table(row(old), date="2026-01-01")),
    ):
        Results(MACHINE, {"throughput": found}).save(tmp_path / f"{name}.json")
    (results,) = load_results(tmp_path)
    assert results.tables["throughput"].rows[0].ours == new


def test_machines_have_sections_of_their_own(tmp_path: Path) -> None:
    other = {**MACHINE, "flags": ["avx2", "avx512_vnni"]}
    for number, about in enumerate((MACHINE, other)):
        Results(about, {"throughput": table(row(OURS))}).save(tmp_path / f"{number}.json")
    text = page_text(load_results(tmp_path))
    assert text.count("## Some CPU @ 2.0 GHz, 2 cores\n") == 2
    assert "avx2, avx512_vnni" in text


def test_the_page_tells_where_a_peer_is_ahead_and_what_was_not_measured() -> None:
    goal = Goal(Role.PEER, Bound.RATIO_AT_LEAST, 1.0)
    results = Results(MACHINE, {"throughput": table(row(OURS, BASE, PEER, ABSENT, goals=(goal,)))})
    text = page_text([results])
    assert "- Throughput, m, texts per second: peer 11.0, ours 10.0" in text
    assert (
        "| at least 1 times peer | Throughput, m, texts per second | 10.0 against 11.0: 0.91 | **no** |"
        in text
    )
    assert "| **peer** | 11.0 | 10.0 to 12.0 | 3 | 0.91 (0.82 to 1.40) |" in text
    assert "| absent | not measured |" in text
    assert "absent: not measured: it cannot be installed" in text


def test_a_table_names_its_columns_once() -> None:
    first = format_table(table(row(OURS, BASE))).splitlines()
    assert first[0] == "| model | measure | side | median | min to max | n | ours : side |"
    assert first[2].startswith("| m | texts per second (higher is better) | worker | 10.0 |")
    assert first[3].startswith("|  |  | bare | 10.0 |")


def test_a_plot_shows_medians_and_its_hash_follows_them() -> None:
    (plot,) = plots_of(Results(MACHINE, {"throughput": table(row(OURS, BASE, ABSENT))}))
    (panel,) = plot.panels
    assert [bar[0] for bar in panel.bars] == ["worker", "bare"]
    assert panel.bars[0][2:] == (median(OURS.values), 9.0, 14.0)
    (other,) = plots_of(Results(MACHINE, {"throughput": table(row(PEER, OURS, BASE))}))
    assert other.digest != plot.digest


def test_a_form_without_a_gate_says_so_and_the_worker_accepts_it(tmp_path: Path) -> None:
    write_embedding(tmp_path, max_seq_length=64, normalize=True)
    hashes = {
        path.relative_to(tmp_path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    out = tmp_path / "form"
    out.mkdir()
    form = make_ungated_form(hub_model(Task.EMBEDDING), tmp_path, hashes, AVAILABLE[0], out, threads=1)
    assert "without an accuracy gate" in str(form.recipe["purpose"])
    assert {figure.threshold for figures in form.gate.figures.values() for figure in figures.values()} == {
        -1.0
    }
    assert gate_failure(form) == ""
    assert read_form(out)[0] == form


def test_the_name_of_a_result_file_has_processor_and_date() -> None:
    assert default_name(MACHINE, quick=True).startswith("some-cpu-2-0-ghz-20")
    assert default_name(MACHINE, quick=True).endswith("-quick.json")


@pytest.mark.parametrize("name", TABLES)
def test_each_table_has_a_function(name: str) -> None:
    assert callable(TABLES[name].load())


def test_the_page_is_made_from_the_committed_results() -> None:
    assert PAGE.read_text("utf-8") == page_text(load_results(RESULTS)), "run: python -m benchmarks page"


def test_the_plots_show_the_committed_results() -> None:
    expected = {plot.file: plot.digest for plot in all_plots(load_results(RESULTS))}
    shown = {path.name: shown_digest(path) for path in IMAGES.glob("benchmarks-*.svg")}
    assert shown == expected, "run: python -m benchmarks page"


def test_the_spacy_peer_runs_what_the_worker_runs_for_entities() -> None:
    names = ("tok2vec", "tagger", "morphologizer", "parser", "lemmatizer", "attribute_ruler", "ner")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "upstream": "tok2vec"}
    pipeline = {
        "nlp": {"pipeline": list(names)},
        "components": {name: {"factory": name, "model": {"tok2vec": listener}} for name in names},
    }
    worker = required_components(describe_components(pipeline), [SyntaxLayer.ENTITIES])
    assert worker == ENTITY_COMPONENTS
