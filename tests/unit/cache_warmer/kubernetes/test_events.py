"""Events tell how a warm went, and a warm never fails for want of one."""

import io
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from cache_warmer.cli import cache_warmer
from cache_warmer.commands.warm import warm_cache
from cache_warmer.errors import HubBusy, HubUnauthorized, NoSpace
from cache_warmer.kubernetes.client import connect
from cache_warmer.kubernetes.events import (
    IMPORTING,
    MESSAGE_BYTES,
    Cluster,
    EventRecorder,
    InvolvedObjects,
    demand_token,
    one_line,
    own_objects,
)
from cache_warmer.reports.warm_report import WarmedModel, WarmReport
from cache_warmer.settings import Settings
from model_cache.cli.options import LogLevel, Options, OutputFormat
from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason

OWN: Final = InvolvedObjects("texts", "demo-warm-1", "demo")


class FakeCluster:
    """Keeps what it is told; `failure` is raised by every call."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.calls = 0
        self.failure = failure

    def uid(self, kind: str, namespace: str, name: str) -> str:
        self.calls += 1
        if self.failure:
            raise self.failure
        return f"uid of {kind} {namespace}/{name}"

    def create_event(self, namespace: str, event: dict[str, Any]) -> None:
        self.events.append(event)


def announcer(cluster: FakeCluster, own: InvolvedObjects | None = OWN) -> EventRecorder:
    return EventRecorder(own, _giving(cluster), lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def _giving(cluster: Cluster) -> Callable[[], Cluster]:
    return lambda: cluster


def report(error: ModelCacheError | None = None) -> WarmReport:
    model = WarmedModel("one", Reason.OK, bytes_fetched=2_000_000)
    return WarmReport(error.reason if error else Reason.OK, "a" * 64, 12.3, (model,), error)


def test_each_event_names_job_and_deployment_by_uid() -> None:
    cluster = FakeCluster()
    announcer(cluster).started()

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


def test_the_end_of_a_warm_says_what_was_fetched() -> None:
    cluster = FakeCluster()
    announcer(cluster).ended(report())

    assert {(event["type"], event["reason"]) for event in cluster.events} == {("Normal", "OK")}
    assert "generation aaaaaaaaaaaa, 1 models, 2.0 MB fetched in 12 s" in cluster.events[0]["message"]


def test_a_failure_carries_reason_and_remedy_in_one_line() -> None:
    cluster = FakeCluster()
    announcer(cluster).ended(report(NoSpace("7 bytes\nare missing", "make the claim bigger")))

    assert {(event["type"], event["reason"]) for event in cluster.events} == {("Warning", "NO_SPACE")}
    assert cluster.events[0]["message"] == "7 bytes are missing. Remedy: make the claim bigger."


def test_a_failure_that_retrying_can_mend_says_that_it_is_retried() -> None:
    cluster = FakeCluster()
    announcer(cluster).ended(report(HubBusy("429", "wait")))
    announcer(cluster).ended(report(NoSpace("full", "more")))

    assert "tries again" in cluster.events[0]["message"]
    assert "tries again" not in cluster.events[-1]["message"]


def test_a_message_that_is_too_long_keeps_what_happened_and_what_to_do() -> None:
    line = one_line("begin " + "ü" * 2000 + " end")

    assert len(line.encode()) <= MESSAGE_BYTES
    assert line.startswith("begin ü")
    assert line.endswith("ü end")
    assert one_line("a \n\n b") == "a b"


def test_models_are_told_on_the_job_and_those_of_a_moment_share_an_event() -> None:
    cluster = FakeCluster()
    telling = EventRecorder(OWN, _giving(cluster), lambda: datetime(2026, 1, 2, tzinfo=UTC), pause=3600.0)
    for number in range(200):
        telling.verified(f"model-{number}", 1_000_000, 3)
    telling.ended(report())

    told = [event for event in cluster.events if event["reason"] == "WARMED"]
    assert 1 <= len(told) <= 2, "one at once, and one for all that came within the pause"
    assert {event["involvedObject"]["kind"] for event in told} == {"Job"}
    assert "model-0 (1.0 MB, 3 files)" in told[0]["message"]
    assert "model-199 (1.0 MB, 3 files)" in told[-1]["message"]
    assert [event["reason"] for event in cluster.events[-2:]] == ["OK", "OK"], "the end comes last"


def test_the_shell_has_no_job_so_the_deployment_alone_is_told_and_nothing_is_tried_again_by_itself() -> None:
    cluster = FakeCluster()
    environ = {"QDA_KUBERNETES_NAMESPACE": "texts", "QDA_KUBERNETES_DEPLOYMENT": "demo"}
    telling = announcer(cluster, own_objects(environ))
    telling.started(IMPORTING)
    telling.collected(2_000_000, 3)
    telling.ended(report(HubBusy("429", "wait")))

    assert {event["involvedObject"]["kind"] for event in cluster.events} == {"Deployment"}
    told = [(event["type"], event["reason"]) for event in cluster.events]
    assert told == [("Normal", "IMPORTING"), ("Normal", "COLLECTED"), ("Warning", "HUB_BUSY")]
    assert "2.0 MB freed" in cluster.events[1]["message"]
    assert cluster.events[2]["message"] == "429. Remedy: wait."


def test_outside_a_cluster_nobody_is_asked() -> None:
    cluster = FakeCluster()
    announcer(cluster, own=None).started()
    announcer(cluster, own=None).verified("one", 1, 1)
    announcer(cluster, own=None).ended(report())

    assert cluster.calls == 0
    assert own_objects({}) is None
    assert own_objects({"QDA_KUBERNETES_NAMESPACE": "texts"}) is None


def test_an_api_server_that_is_away_is_logged_once_a_moment_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = FakeCluster(OSError("no route\nand a long trace"))
    telling = announcer(cluster)
    with caplog.at_level(logging.WARNING):
        telling.started()
        telling.ended(report())

    assert cluster.calls == 2, "after the first failure of a moment nothing else is tried"
    assert [record.getMessage() for record in caplog.records] == [
        "no Event could be written (WARMING): no route",
        "no Event could be written (OK): no route",
    ]


def test_a_process_that_only_looks_like_a_job_warms_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The real client, without a cluster: no token is there, and the run ends by its own reason."""
    environ = {
        "QDA_KUBERNETES_NAMESPACE": "n",
        "QDA_KUBERNETES_JOB": "j",
        "QDA_CATALOG": str(tmp_path / "no.yaml"),
    }
    err = io.StringIO()
    code = cache_warmer(["warm", "--cache", str(tmp_path)], environ, io.StringIO(), err)

    assert code == Reason.CATALOG_INVALID.exit_code
    assert "no Event could be written" in caplog.text


def test_the_client_says_where_it_is_not() -> None:
    from kubernetes.config import ConfigException

    with pytest.raises(ConfigException):
        connect()


def test_a_run_tells_its_start_and_its_end(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text("apiVersion: qda/v2\nkind: Catalog\nmodels: []\n", "utf-8")
    last_words = tmp_path / "termination-log"
    last_words.touch()
    options = Options(catalog, str(tmp_path / "cache"), (), OutputFormat.TABLE, LogLevel.ERROR)
    cluster = FakeCluster()
    code = warm_cache(
        Settings(options, termination_log=last_words), {}, io.StringIO(), io.StringIO(), announcer(cluster)
    )

    assert code == Reason.CATALOG_INVALID.exit_code
    assert [event["reason"] for event in cluster.events[::2]] == ["WARMING", "CATALOG_INVALID"]
    assert "\n" not in cluster.events[-1]["message"]
    assert json.loads(last_words.read_text("utf-8"))["reason"] == "CATALOG_INVALID"


@pytest.mark.parametrize("token", ["", "  ", None])
def test_a_secret_that_gave_no_token_is_named_with_its_remedy(token: str | None) -> None:
    environ = {"QDA_TOKEN_SECRET": "hub/token", "QDA_KUBERNETES_NAMESPACE": "texts"}
    if token is not None:
        environ["HF_TOKEN"] = token
    with pytest.raises(HubUnauthorized) as caught:
        demand_token(environ)

    assert "'hub'" in caught.value.message
    assert "'token'" in caught.value.message
    assert "kubectl -n texts create secret generic hub --from-literal=token=TOKEN" in caught.value.remedy


def test_a_secret_that_gave_a_token_and_no_secret_at_all_are_well() -> None:
    demand_token({"QDA_TOKEN_SECRET": "hub/token", "HF_TOKEN": "hf_x"})
    demand_token({})


def test_a_missing_token_ends_a_warm_before_the_hub_is_asked(tmp_path: Path) -> None:
    err = io.StringIO()
    environ = {"QDA_TOKEN_SECRET": "hub/token", "HF_ENDPOINT": "http://hub.invalid"}
    code = cache_warmer(["warm", "--cache", str(tmp_path / "cache")], environ, io.StringIO(), err)

    assert code == Reason.HUB_UNAUTHORIZED.exit_code
    assert "hub.tokenSecret" in err.getvalue()
    assert not (tmp_path / "cache").exists()
