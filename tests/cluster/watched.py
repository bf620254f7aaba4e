"""A release that Prometheus watches, load on its worker, and incidents that are really caused.

The rules are those of the chart, with shorter times (`shorten`): Prometheus scrapes every two seconds, so a range of
five minutes becomes `RANGE`, and an alert fires `HOLD` after its condition began. Limits are set by the chart's values.
"""

import datetime as dt
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from qda_worker.client import Client, ClientError, Settings, Tls
from tests.cluster.kubectl import eventually, run
from tests.cluster.prometheus import (
    METRICS_PORT,
    Prometheus,
    documented_scrape_config,
    require_reachable_pods,
    run_prometheus,
    scrape_config,
)
from tests.cluster.release import CHART, FIRST, VALUES, Release
from tests.support.certificates import Authority

RANGE: Final = "15s"
HOLD: Final = "2s"
SECRET: Final = "watched-tls"
OPERATORS: Final = ("--api-versions=monitoring.coreos.com/v1", "--api-versions=keda.sh/v1alpha1")
# Without the operators' APIs on the cluster these objects are only rendered.
MONITORING: Final = (
    "--set=worker.prometheusRule.enabled=true",
    "--set=worker.dashboard.enabled=true",
    "--set=worker.keda.enabled=true",
    "--set=worker.keda.prometheus.serverAddress=http://prometheus:9090",
)
# An overload takes few texts, and a changed file is found within seconds.
WATCHED: Final = (
    f"--set=worker.tls.secretName={SECRET}",
    "--set=worker.maxCalls=10",
    "--set-json=worker.prometheusRule.queueSeconds=0.2",
    "--set=worker.extraEnv[0].name=QDA_CHECK_INTERVAL",
    "--set=worker.extraEnv[0].value=2s",
    "--set=cacheWarmer.shell=true",
    "--set=cache.accessModes={ReadWriteMany}",
)

# Copies the sentiment model's weights over themselves: the same bytes in another file.
REPLACE: Final = """
import os, pathlib, shutil
link = next(pathlib.Path("/cache/huggingface/hub").glob("models--*bert/snapshots/*/model.safetensors"))
blob = link.resolve()
shutil.copy(blob, f"{blob}.new")
os.replace(f"{blob}.new", blob)
"""
# Replaces them by a shorter file. The worker has mapped the old one, which lives on.
SHORTEN: Final = """
import os, pathlib
link = next(pathlib.Path("/cache/huggingface/hub").glob("models--*bert/snapshots/*/model.safetensors"))
blob = link.resolve()
pathlib.Path(f"{blob}.new").write_bytes(blob.read_bytes()[:-1])
os.replace(f"{blob}.new", blob)
"""


def shorten(rules: dict[str, Any]) -> dict[str, Any]:
    """Return the rules with shorter ranges and waiting times, for tests of seconds."""
    text = re.sub(r"\[\d+m\]", f"[{RANGE}]", yaml.safe_dump(rules))
    shortened = yaml.safe_load(re.sub(r"for: \w+", f"for: {HOLD}", text))
    assert isinstance(shortened, dict)
    return shortened


@dataclass(frozen=True, slots=True)
class Monitoring:
    """The rendered objects of monitoring.

    Attributes:
        monitor: the PodMonitor or ServiceMonitor.
        service: the headless service, which has a port for metrics only with a ServiceMonitor.
        rules: `spec` of the PrometheusRule.
        panels: title and query of each panel of the dashboard.
        dashboard: the dashboard.
        queue_seconds: the query of the KEDA trigger.
    """

    monitor: dict[str, Any]
    service: dict[str, Any]
    rules: dict[str, Any]
    panels: Sequence[tuple[str, str]]
    dashboard: dict[str, Any]
    queue_seconds: str


def render_monitoring(release: Release, *options: str, monitor: str = "PodMonitor") -> Monitoring:
    """Render what a cluster with the Prometheus Operator, Grafana and KEDA would get."""
    flag = f"--set=worker.{monitor[0].lower()}{monitor[1:]}.enabled=true"
    command = ["helm", "template", release.name, str(CHART), "--namespace", release.kubectl.namespace]
    done = run([*command, f"--values={VALUES}", *FIRST, *OPERATORS, *MONITORING, flag, *options])
    assert done.code == 0, done.err
    objects = [one for one in yaml.safe_load_all(done.out) if one]

    def find(kind: str, suffix: str = "") -> dict[str, Any]:
        (found,) = (
            one for one in objects if one["kind"] == kind and one["metadata"]["name"].endswith(suffix)
        )
        assert isinstance(found, dict)
        return found

    (text,) = find("ConfigMap", "-dashboard")["data"].values()
    dashboard = json.loads(text)
    (trigger,) = find("ScaledObject")["spec"]["triggers"]
    return Monitoring(
        find(monitor),
        find("Service", "-headless"),
        find("PrometheusRule")["spec"],
        [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]],
        dashboard,
        trigger["metadata"]["query"],
    )


class Load:
    """Calls of the project's client in threads; failed calls are counted and not raised."""

    def __init__(self, settings: Settings, call: Callable[[Client], object], threads: int) -> None:
        self.answered = 0
        self.errors: list[str] = []
        self._ended = threading.Event()
        self._client, self._call = Client(settings), call
        self._threads = [threading.Thread(target=self._repeat) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._client.close()
        for thread in self._threads:
            thread.join()

    def _repeat(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self._call(self._client)
                self.answered += 1
            except ClientError as error:
                if not self._ended.is_set():
                    self.errors.append(str(error))


@dataclass(frozen=True, slots=True)
class Watched:
    """A release under watch.

    Attributes:
        release: the release, with `WATCHED` values.
        options: further options of each helm command.
        prometheus: scrapes its workers and evaluates the shortened rules.
        monitoring: the rendered objects.
        authority: signs the certificates of the worker.
    """

    release: Release
    options: Sequence[str]
    prometheus: Prometheus
    monitoring: Monitoring
    authority: Authority

    def settings(self, timeout: float = 10.0, pod: str = "") -> Settings:
        """Return the settings of a client of the service, or of one worker, which may be not ready."""
        if pod:
            target = f"{self.release.kubectl.get('pod', pod)['status']['podIP']}:50051"
        else:
            service = self.release.kubectl.get("service", self.release.name)["spec"]
            target = f"{service['clusterIP']}:{service['ports'][0]['port']}"
        return Settings(
            target, tls=Tls(self.authority.file, server_name="watched.example.org"), timeout=timeout
        )

    def load(
        self, call: Callable[[Client], object], threads: int = 1, timeout: float = 10.0, pod: str = ""
    ) -> Load:
        """Return a load that has not started; see `settings`."""
        return Load(self.settings(timeout, pod), call, threads)

    def upgrade(self, *options: str, catalog: Sequence[str] = FIRST) -> None:
        """Upgrade the release. Raises `CommandFailed`."""
        self.release("upgrade", *catalog, *WATCHED, *self.options, *options)

    def issue(self, days: int) -> None:
        """Give the workers a certificate that ends after so many days."""
        put_certificate(self.release, self.authority, days)

    def in_shell(self, script: str) -> None:
        """Run a script in a pod that may write to the cache. Raises `CommandFailed`."""
        self.release.kubectl("exec", f"deploy/{self.release.name}-shell", "--", "python", "-c", script)

    def fires(self, alert: str, seconds: float = 120.0) -> dict[str, Any]:
        """Wait until an alert fires, and return it."""
        eventually(f"alert {alert}", lambda: alert in self.prometheus.firing(), seconds)
        return self.prometheus.alert(alert)

    def quiet(self, *but: str, seconds: float = 240.0) -> None:
        """Wait until no alert fires, except the given ones."""
        eventually(
            f"no alert but {but}: {self.prometheus.firing()}",
            lambda: self.prometheus.firing() <= set(but),
            seconds,
        )

    def panel(self, title: str, query: str) -> int:
        """Return how many lines a panel has."""
        return len(self.prometheus.query(query.replace("$__rate_interval", RANGE)))


@contextmanager
def watch(
    release: Release, folder: Path, *options: str, monitor: str = "PodMonitor", documented: bool = False
) -> Iterator[Watched]:
    """Install a release whose certificate is near its end, and watch it with Prometheus until the block ends.

    Args:
        release: not installed yet.
        folder: for the files of Prometheus and the certificates.
        options: further options of each helm command.
        monitor: whether the PodMonitor or the ServiceMonitor is the source of the scrape configuration.
        documented: use the scrape configuration of the documentation instead.
    """
    authority = Authority(folder)
    monitoring = render_monitoring(release, *WATCHED, *options, monitor=monitor)
    put_certificate(release, authority, 3)
    release("install", *FIRST, *WATCHED, *options, "--wait", "--timeout=230s")
    if monitor == "ServiceMonitor":  # helm refuses the value where the operator is not installed
        release.kubectl.apply(monitoring.service)
    scrape = scrape_config(monitoring.monitor, release.kubectl.namespace)
    if documented:
        scrape = documented_scrape_config()
    with run_prometheus(release.kubectl, folder, [scrape], [shorten(monitoring.rules)]) as prometheus:
        require_reachable_pods(prometheus)
        yield Watched(release, options, prometheus, monitoring, authority)


def put_certificate(release: Release, authority: Authority, days: int) -> None:
    """Create or replace the workers' Secret."""
    pair = authority.issue("watched", until=dt.timedelta(days=days), dns="watched.example.org")
    release.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET},
            "type": "kubernetes.io/tls",
            "stringData": {
                "tls.crt": pair.certificate.read_text("utf-8"),
                "tls.key": pair.key.read_text("utf-8"),
            },
        }
    )


def one_target(watched: Watched) -> dict[str, str]:
    """Return the labels of the one target, once it was scraped."""

    def look() -> dict[str, str] | None:
        targets = watched.prometheus.targets()
        assert all(target["scrapeUrl"].endswith(f":{METRICS_PORT}/metrics") for target in targets)
        up = [target["labels"] for target in targets if target["health"] == "up"]
        return up[0] if len(up) == len(targets) == 1 else None

    return eventually("one target that is scraped", look, 20)


def overload(watched: Watched) -> float:
    """Send more than the worker can do until the alerts of its queue fire; return the trigger's queue seconds.

    Many calls at once exceed `worker.maxCalls`, and calls with a short deadline are refused by the queue.
    """
    query = re.sub(r"\[\d+m\]", f"[{RANGE}]", watched.monitoring.queue_seconds)
    # They differ, because equal texts are computed once.
    texts = [f"{number}. {'Das ist gut, und der Tag war schön. ' * 8}" for number in range(1000)]
    with (
        watched.load(lambda client: client.sentiment(texts), 4, timeout=60),
        watched.load(lambda client: client.sentiment(texts[:200]), 2, timeout=0.3),
    ):
        for alert in ("QdaQueueSlow", "QdaTextsRefused", "QdaCallsRefused"):
            watched.fires(alert)
        return watched.prometheus.query(query)[0].value
