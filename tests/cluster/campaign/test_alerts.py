"""Each alert of the chart fires once, caused by a real incident, and resolves after the remedy of docs/monitoring.md.

Run by `make test-alerts`. With DASHBOARD=FILE.svg the panels of the dashboard are drawn at the end.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from qda_worker.client import Client
from tests.cluster.demo_hub import ROOT
from tests.cluster.kubectl import eventually
from tests.cluster.release import SECOND, WAIT, Release
from tests.cluster.watched import REPLACE, SHORTEN, Watched, one_target, overload, watch

NO_HUB: Final = "--set=hub.endpoint=http://demo-hub:9"
# The load itself may be more than a slow cluster can do.
SLOW: Final = "QdaQueueSlow"
# A deep check; its findings are in the record, whatever its exit code.
VERIFY: Final = "import subprocess; subprocess.run(['cache-warmer', 'verify'])"
TEXTS: Final = ["Anna wohnt in Berlin.", "Das ist gut.", "Der Tag war schön."] * 5


@pytest.fixture
def watched(new_release: Callable[..., Release], tmp_path: Path) -> Iterator[Watched]:
    with watch(new_release("watched"), tmp_path, monitor="ServiceMonitor") as watched:
        yield watched


def _all_services(client: Client) -> None:
    client.sentiment(TEXTS)
    client.entities(TEXTS)
    client.embed(TEXTS)
    client.score_pairs([(TEXTS[0], TEXTS[1])])


def _new_worker(watched: Watched) -> str:
    """Delete the worker, and return the name of the next one."""
    kubectl = watched.release.kubectl
    kubectl("delete", "pod", watched.release.running_worker(), "--wait=true", "--timeout=60s")
    return watched.release.running_worker()


@pytest.mark.timeout(1500)
def test_every_alert_fires_and_resolves(watched: Watched, pytestconfig: pytest.Config) -> None:
    """One test, because each step needs the state of the one before it."""
    started, fired = time.time(), set[str]()
    release, kubectl = watched.release, watched.release.kubectl
    labels = one_target(watched)
    assert labels["job"] == labels["service"] == f"{release.name}-headless"

    def fires(name: str) -> dict[str, str]:
        alert = watched.fires(name)
        fired.add(name)
        annotations = alert["annotations"]
        assert isinstance(annotations, dict)
        return annotations

    with watched.load(_all_services, threads=2):
        fires("QdaCertificateExpires")
        watched.issue(90)  # the kubelet renews the file within two minutes
        overload(watched)
        fired |= {"QdaQueueSlow", "QdaTextsRefused", "QdaCallsRefused"}
        watched.quiet(SLOW)

        watched.in_shell(REPLACE)
        fires("QdaRestartNeeded")
        watched.in_shell(SHORTEN)
        assert release.running_worker() in fires("QdaCacheCorrupt")["summary"]
        fires("QdaCacheIncomplete")
        watched.in_shell(VERIFY)
        fires("QdaDeepCheckFailed")
        name = _new_worker(watched)
        assert name in fires("QdaModelNotLoaded")["summary"]
        # The service has no worker now, so only calls to the worker itself reach it.
        with watched.load(_all_services, timeout=2, pod=name):
            fires("QdaCallsFail")
        watched.upgrade("--set=cacheWarmer.rerun=1", *WAIT)
        watched.in_shell(VERIFY)
        watched.quiet(SLOW)

        watched.upgrade(NO_HUB, catalog=SECOND)
        assert "HUB_UNREACHABLE" in fires("QdaWarmFailed")["summary"]
        fires("QdaGenerationsDiffer")
        release("rollback")
        watched.quiet(SLOW)

        kubectl("scale", f"deployment/{release.name}", "--replicas=0")
        fires("QdaWorkerAbsent")
        kubectl("scale", f"deployment/{release.name}", "--replicas=1")
        watched.quiet(SLOW)

    (group,) = watched.monitoring.rules["groups"]
    assert fired == {rule["alert"] for rule in group["rules"]}
    if drawing := pytestconfig.getoption("--dashboard-svg"):
        _draw(watched, Path(str(drawing)), time.time() - started)


def _draw(watched: Watched, drawing: Path, seconds: float) -> None:
    source = ROOT / "build" / "dashboard.json"
    source.write_text(json.dumps(watched.monitoring.dashboard), "utf-8")
    command = [str(ROOT / "scripts" / "plot-dashboard"), str(source), watched.prometheus.url, str(drawing)]
    python = shutil.which("python3") or "python3"
    subprocess.run([python, *command, f"--seconds={seconds:.0f}"], check=True)


def test_a_failure_in_the_first_step_is_an_alert_also_after_the_warmers_pod_has_gone(
    new_release: Callable[..., Release], tmp_path: Path
) -> None:
    """Prometheus is configured here as the documentation says for one without the operator."""
    options = ("--set=worker.models={german-sentiment}",)
    with watch(new_release("watched"), tmp_path, *options, documented=True) as watched:
        assert one_target(watched)["job"] == "qda-worker"
        watched.upgrade("--set=hub.tokenSecret=not-there", "--set=cacheWarmer.rerun=1")
        assert "HUB_UNAUTHORIZED" in watched.fires("QdaWarmFailed")["annotations"]["summary"]
        kubectl = watched.release.kubectl
        warmers = "--selector=app.kubernetes.io/component=warmer"
        kubectl("delete", "jobs", warmers, "--wait=true", "--cascade=foreground")
        assert not kubectl.items("pods", "batch.kubernetes.io/job-name"), "only the shell's pod is left"
        time.sleep(20)
        assert "QdaWarmFailed" in watched.prometheus.firing()
        watched.upgrade("--set=cacheWarmer.rerun=2")
        eventually("no failed warm", lambda: "QdaWarmFailed" not in watched.prometheus.firing())
