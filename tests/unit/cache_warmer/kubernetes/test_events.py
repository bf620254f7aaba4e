"""Events report how a run goes, and a run never fails because of an Event."""

import dataclasses
import io
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.cli import cache_warmer
from cache_warmer.commands.warm import warm_cache
from cache_warmer.errors import HubBusy, Interrupted, NoSpace
from cache_warmer.kubernetes.events import (
    IMPORTING,
    MESSAGE_BYTES,
    ClusterApi,
    ClusterUnavailableError,
    EventRecorder,
    InvolvedObjects,
    damage_error,
    involved_objects,
)
from cache_warmer.reports.warm_report import WarmedModel, WarmReport
from cache_warmer.settings import Settings
from model_cache.catalog.catalog import Task
from model_cache.check.types import CheckReport, ModelReport, Problem, Tier
from model_cache.cli.options import LogLevel, OutputFormat, SharedOptions
from model_cache.errors import ModelCacheError
from model_cache.formatting import one_line
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from model_cache.warm_status import Phase, WarmStatus
from tests.support.fake_cluster import FakeCluster

OBJECTS: Final = InvolvedObjects("texts", "demo-warm-1", "demo")
NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)


def recorder_of(cluster: FakeCluster, objects: InvolvedObjects | None = OBJECTS) -> EventRecorder:
    return EventRecorder(objects, _connect_to(cluster), lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def _connect_to(cluster: ClusterApi) -> Callable[[], ClusterApi]:
    return lambda: cluster


def report(error: ModelCacheError | None = None) -> WarmReport:
    model = WarmedModel("one", Reason.OK, bytes_fetched=2_000_000)
    return WarmReport(error.reason if error else Reason.OK, "a" * 64, 12.3, (model,), error)


def test_each_event_names_job_and_deployment_by_uid() -> None:
    cluster = FakeCluster()
    recorder_of(cluster).record_start()

    involved = [event["involvedObject"] for event in cluster.events]
    assert involved == [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "namespace": "texts",
            "name": "demo-warm-1",
            "uid": "uid of Job texts/demo-warm-1",
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "texts",
            "name": "demo",
            "uid": "uid of Deployment texts/demo",
        },
    ]
    assert {(event["type"], event["reason"]) for event in cluster.events} == {("Normal", "WARMING")}
    assert {event["firstTimestamp"] for event in cluster.events} == {"2026-01-02T03:04:05Z"}


def test_the_last_event_of_a_warm_reports_what_was_fetched() -> None:
    cluster = FakeCluster()
    recorder_of(cluster).record_end(report())

    assert {(event["type"], event["reason"]) for event in cluster.events} == {("Normal", "OK")}
    assert "generation aaaaaaaaaaaa, 1 models, 2.0 MB fetched in 12 s" in cluster.events[0]["message"]


def test_a_failure_has_reason_and_remedy_in_one_line() -> None:
    cluster = FakeCluster()
    recorder_of(cluster).record_end(report(NoSpace("7 bytes\nare missing", "make the claim bigger")))

    assert {(event["type"], event["reason"]) for event in cluster.events} == {("Warning", "NO_SPACE")}
    assert cluster.events[0]["message"] == (
        "7 bytes are missing. Remedy: make the claim bigger. "
        "If that changes no value, increase cacheWarmer.rerun to run it again."
    )


def test_a_retryable_failure_announces_the_retry() -> None:
    cluster = FakeCluster()
    recorder_of(cluster).record_end(report(HubBusy("429", "wait")))
    recorder_of(cluster).record_end(report(NoSpace("full", "more")))

    assert "tries again" in cluster.events[0]["message"]
    assert "tries again" not in cluster.events[-1]["message"]


def test_a_remedy_that_names_the_next_run_itself_is_not_followed_by_it_again() -> None:
    cluster = FakeCluster()
    recorder_of(cluster).record_end(report(NoSpace("full", "delete something, then raise cacheWarmer.rerun")))

    assert cluster.events[0]["message"].count("cacheWarmer.rerun") == 1


def test_a_message_that_is_too_long_keeps_its_beginning_and_its_end() -> None:
    line = one_line("begin " + "ü" * 2000 + " end", MESSAGE_BYTES)

    assert len(line.encode()) <= MESSAGE_BYTES
    assert line.startswith("begin ü")
    assert line.endswith("ü end")
    assert one_line("a \n\n b", MESSAGE_BYTES) == "a b"


def test_models_verified_within_an_interval_share_an_event_on_the_job() -> None:
    cluster = FakeCluster()
    recorder = EventRecorder(
        OBJECTS, _connect_to(cluster), lambda: datetime(2026, 1, 2, tzinfo=UTC), interval=3600.0
    )
    for number in range(200):
        recorder.record_verified(f"model-{number}", 1_000_000, 3)
    recorder.record_end(report())

    models = [event for event in cluster.events if event["reason"] == "WARMED"]
    assert 1 <= len(models) <= 2, "one at once, and one for all models of the interval"
    assert {event["involvedObject"]["kind"] for event in models} == {"Job"}
    assert "model-0 (1.0 MB, 3 files)" in models[0]["message"]
    assert "model-199 (1.0 MB, 3 files)" in models[-1]["message"]
    assert [event["reason"] for event in cluster.events[-2:]] == ["OK", "OK"], "the end comes last"


def test_in_the_shell_events_are_on_the_deployment_and_announce_no_retry() -> None:
    cluster = FakeCluster()
    environ = {"QDA_KUBERNETES_NAMESPACE": "texts", "QDA_KUBERNETES_DEPLOYMENT": "demo"}
    recorder = recorder_of(cluster, involved_objects(environ))
    recorder.record_start(IMPORTING)
    recorder.record_collection(2_000_000, 3)
    recorder.record_end(report(HubBusy("429", "wait")))

    assert {event["involvedObject"]["kind"] for event in cluster.events} == {"Deployment"}
    written = [(event["type"], event["reason"]) for event in cluster.events]
    assert written == [("Normal", "IMPORTING"), ("Normal", "COLLECTED"), ("Warning", "HUB_BUSY")]
    assert "2.0 MB freed" in cluster.events[1]["message"]
    assert cluster.events[2]["message"] == "429. Remedy: wait."


def _deep_report(error: ModelCacheError | None = None, *mended: Problem, fetched: int = 0) -> WarmReport:
    return dataclasses.replace(
        report(error), mended=mended, models=(WarmedModel("one", Reason.OK, fetched, 2_000_000, 7),)
    )


CHECK: Final = {
    "QDA_KUBERNETES_NAMESPACE": "texts",
    "QDA_KUBERNETES_DEPLOYMENT": "demo",
    "QDA_KUBERNETES_CRONJOB": "demo-check",
}
BAD: Final = Problem("/cache/weights", Reason.CACHE_CORRUPT, "has another hash", "run `repair`")


def test_that_everything_is_intact_is_told_on_the_cron_job_alone() -> None:
    cluster = FakeCluster()
    recorder_of(cluster, involved_objects(CHECK)).record_end(_deep_report())

    (event,) = cluster.events
    assert (event["involvedObject"]["kind"], event["type"], event["reason"]) == ("CronJob", "Normal", "OK")
    assert "every file intact: generation aaaaaaaaaaaa, 1 models, 7 files, 2.0 MB" in event["message"]


def test_bad_files_and_their_repair_are_told_on_the_deployment_too() -> None:
    cluster = FakeCluster()
    recorder = recorder_of(cluster, involved_objects(CHECK))
    model = ModelReport("one", Task.SENTIMENT, "o/r", "0" * 40, Reason.CACHE_CORRUPT, 1, 1, "/p", (BAD,))
    places = resolve_places("/cache", {}, Path("/"))
    found = CheckReport(Reason.CACHE_CORRUPT, "g", "/cache", Tier.DEEP, 1, 1, 0.0, (model,), (), places)
    recorder.record_damage(found)
    recorder.record_end(_deep_report(None, BAD, fetched=2_000_000))
    recorder.record_end(_deep_report(damage_error(found)))

    assert [event["involvedObject"]["kind"] for event in cluster.events] == ["CronJob", "Deployment"] * 3
    warning, repaired, failed = cluster.events[::2]
    assert (warning["type"], warning["reason"]) == ("Warning", "CACHE_CORRUPT")
    assert "1 bad file of one: /cache/weights: has another hash. They are fetched again" in warning["message"]
    assert (repaired["type"], repaired["reason"]) == ("Normal", "REPAIRED")
    assert "1 bad file was fetched again (2.0 MB): /cache/weights" in repaired["message"]
    assert "kubectl -n texts rollout restart deploy/demo" in repaired["message"]
    assert (failed["type"], failed["reason"]) == ("Warning", "CACHE_CORRUPT")
    assert failed["message"].endswith("Remedy: run `repair`.")


def test_the_cron_job_retries_as_the_job_does() -> None:
    cluster = FakeCluster()
    recorder_of(cluster, involved_objects(CHECK)).record_end(_deep_report(HubBusy("429", "wait")))
    assert "tries again" in cluster.events[0]["message"]


def test_outside_a_cluster_no_request_is_sent() -> None:
    cluster = FakeCluster()
    recorder_of(cluster, objects=None).record_start()
    recorder_of(cluster, objects=None).record_verified("one", 1, 1)
    recorder_of(cluster, objects=None).record_end(report())

    assert cluster.calls == 0
    assert involved_objects({}) is None
    assert involved_objects({"QDA_KUBERNETES_NAMESPACE": "texts"}) is None


@pytest.mark.parametrize("error", [None, NoSpace("full", "more")])
def test_the_end_is_told_when_an_api_server_that_went_away_is_back(error: ModelCacheError | None) -> None:
    cluster, pauses = FakeCluster(), list[float]()
    recorder = EventRecorder(OBJECTS, _connect_to(cluster), lambda: NOW, sleep=pauses.append)
    recorder.record_start()
    cluster.failure, cluster.failures = ClusterUnavailableError("connection refused"), 7
    recorder.record_end(report(error))

    ends = [event["involvedObject"]["kind"] for event in cluster.events if event["reason"] != "WARMING"]
    assert ends == ["Job", "Deployment"], "each once"
    assert len(pauses) == 7


@pytest.mark.parametrize(("started", "error"), [(True, Interrupted()), (False, None)])
def test_a_process_that_has_to_end_or_never_reached_the_api_server_does_not_wait_for_it(
    started: bool, error: ModelCacheError | None
) -> None:
    cluster, pauses = FakeCluster(), list[float]()
    recorder = EventRecorder(OBJECTS, _connect_to(cluster), lambda: NOW, sleep=pauses.append)
    if started:
        recorder.record_start()
    cluster.failure = ClusterUnavailableError("connection refused")
    recorder.record_end(report(error))

    assert pauses == []


def test_an_api_server_that_stays_away_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    cluster, pauses = FakeCluster(), list[float]()
    recorder = EventRecorder(OBJECTS, _connect_to(cluster), lambda: NOW, sleep=pauses.append)
    recorder.record_start()
    cluster.failure = ClusterUnavailableError("connection refused")
    with caplog.at_level("WARNING", "cache_warmer"):
        recorder.record_end(report())

    assert 20 <= sum(pauses) <= 90, "about a minute"
    assert "no Event could be written (OK): connection refused" in caplog.text


def test_an_api_server_that_is_away_is_logged_once_for_each_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster(OSError("no route\nand a long trace"))
    recorder = recorder_of(cluster)
    with caplog.at_level(logging.WARNING):
        recorder.record_start()
        recorder.record_end(report())

    assert cluster.calls == 2, "after the first failure of an Event no other request is sent for it"
    assert [record.getMessage() for record in caplog.records] == [
        "no Event could be written (WARMING): no route",
        "no Event could be written (OK): no route",
    ]


def test_without_an_api_server_a_warm_ends_with_its_own_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Use the real client without a cluster: there is no token of a service account."""
    environ = {
        "QDA_KUBERNETES_NAMESPACE": "n",
        "QDA_KUBERNETES_JOB": "j",
        "QDA_CATALOG": str(tmp_path / "no.yaml"),
    }
    err = io.StringIO()
    with caplog.at_level("WARNING", "cache_warmer"):
        code = cache_warmer(["warm", "--cache", str(tmp_path)], environ, io.StringIO(), err)

    assert code == Reason.CATALOG_INVALID.exit_code
    assert "no Event could be written" in caplog.text


def test_a_run_writes_events_at_its_start_and_its_end(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("apiVersion: qda/v2\nkind: Catalog\nmodels: []\n", "utf-8")
    last_words = tmp_path / "termination-log"
    last_words.touch()
    options = SharedOptions(catalog, str(tmp_path / "cache"), (), OutputFormat.TABLE, LogLevel.ERROR)
    cluster = FakeCluster()
    code = warm_cache(
        Settings(options, termination_log=last_words), {}, io.StringIO(), io.StringIO(), recorder_of(cluster)
    )

    assert code == Reason.CATALOG_INVALID.exit_code
    assert [event["reason"] for event in cluster.events[::2]] == ["WARMING", "CATALOG_INVALID"]
    assert "\n" not in cluster.events[-1]["message"]
    assert json.loads(last_words.read_text("utf-8"))["reason"] == "CATALOG_INVALID"


def test_a_run_that_was_killed_is_told_by_the_next_one_with_its_memory() -> None:
    cluster = FakeCluster()
    time = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
    former = WarmStatus(Phase.FETCHING, "a" * 64, "pod former", time, time)
    recorder_of(cluster).record_interruption(former)
    full = former._replace(memory_used=255 * 2**20, memory_limit=256 * 2**20)
    recorder_of(cluster).record_interruption(full)

    job_events = [event for event in cluster.events if event["involvedObject"]["kind"] == "Job"]
    assert {(event["type"], event["reason"]) for event in job_events} == {("Warning", "INTERRUPTED")}
    assert (
        "(pod former) ended without a shutdown at about 2026-01-02 03:00:00 UTC" in job_events[0]["message"]
    )
    assert "If the last state of its container is OOMKilled" in job_events[0]["message"]
    assert "It used 255Mi of 256Mi of memory and was most likely killed" in job_events[1]["message"]
    for event in job_events:
        assert event["message"].endswith("increase cacheWarmer.resources.limits.memory")
