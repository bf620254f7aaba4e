"""The report of a run, its termination message, and the results that it is made from."""

import json

from hypothesis import given
from hypothesis import strategies as some

from cache_warmer.errors import HubBusy
from cache_warmer.reports.warm_report import (
    RunStats,
    WarmedModel,
    WarmReport,
    termination_message,
    to_json,
)
from model_cache.catalog.catalog import HuggingFaceSource, Model, Task
from model_cache.explanations import explanation_hint
from model_cache.manifest import FileRecord
from model_cache.places import PlaceName
from model_cache.reasons import Reason


def report(models: int, words: str) -> WarmReport:
    states = tuple(
        WarmedModel(f"model-{number}", Reason.OK if number % 2 else Reason.HUB_BUSY)
        for number in range(models)
    )
    return WarmReport(Reason.HUB_BUSY, "f" * 64, 1.5, states, HubBusy(words, words))


@given(some.integers(0, 300), some.text(max_size=6000))
def test_a_termination_message_is_json_below_its_limit(models: int, words: str) -> None:
    message = termination_message(report(models, words))

    assert len(message) < 4096
    assert json.loads(message)["reason"] == "HUB_BUSY"


def test_complete_models_are_left_out_first() -> None:
    document = json.loads(termination_message(report(50, "short")))

    assert document["models_left_out"] is True
    assert {model["reason"] for model in document["models"]} == {"HUB_BUSY"}
    assert document["message"] == "short"


def test_a_short_report_is_whole_and_says_where_its_reason_is_explained() -> None:
    whole = report(3, "short")

    assert json.loads(termination_message(whole)) == {**to_json(whole), "help": explanation_hint("HUB_BUSY")}


def test_a_failed_run_reports_what_it_did_until_then() -> None:
    now = [10.0]
    verified: list[tuple[str, int, int]] = []
    stats = RunStats(lambda *values: verified.append(values), lambda: now[0])
    source = HuggingFaceSource("org/name", "0" * 40, ("*",))
    stats.select("f" * 64, [Model(key, Task.SENTIMENT, source) for key in ("one", "two", "three")])
    files = [FileRecord(PlaceName.HUB, name, 5, "a" * 64) for name in ("a", "b")]
    stats.received("one", 7)
    stats.received("three", 3)
    stats.verified("one", files, "lock")
    stats.verified("one", files, None)
    stats.verified("two", files, None)
    now[0] = 12.0

    report = stats.report(HubBusy("429", "wait"))
    now[0] = 99.0

    assert report.models == (
        WarmedModel("one", Reason.OK, 7, 10, 2, "lock"),
        WarmedModel("two", Reason.OK, 0, 10, 2, None),
        WarmedModel("three", Reason.HUB_BUSY, 3),
    )
    assert (report.generation, report.seconds, report.bytes_fetched) == ("f" * 64, 2.0, 10)
    assert stats.report(None).seconds == 2.0, "the first report fixes the end time"
    assert verified == [("one", 10, 2)], "a model that was complete before the run is not announced"
