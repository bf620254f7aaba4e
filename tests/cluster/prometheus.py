"""A real Prometheus beside the tests that scrapes workers as the Prometheus Operator would configure it.

The scrape configuration is made from a rendered PodMonitor or ServiceMonitor, with the relabelings that the operator
generates for it. So the monitor's selector and port are tested too, and the labels are those that alerts and dashboard
expect. Debian's Prometheus is built without Kubernetes service discovery, so a thread (`Discovery`) writes the pods and
endpoints of the namespace, with the `__meta_kubernetes_*` labels of that discovery, to a file that Prometheus watches.
The addresses must be reachable from here, as they are for tests that run in the network of the pods.
"""

import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.cluster.demo_hub import ROOT
from tests.cluster.kubectl import CommandFailed, Kubectl, eventually

METRICS_PORT: Final = 9464
META: Final = "__meta_kubernetes_"
DISCOVERY_SECONDS: Final = 2.0
NO_POD: Final[dict[str, Any]] = {"status": {}, "spec": {"containers": []}}
Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of an instant vector."""

    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus.

    Attributes:
        url: its address.
    """

    url: str

    def query(self, expression: str) -> list[Sample]:
        """Return the current values of an expression."""
        found = self._get("query", query=expression)["result"]
        return [Sample(one["metric"], float(one["value"][1])) for one in found]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self._get("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def alert(self, name: str) -> dict[str, Any]:
        """Return one alert that fires, with its labels and annotations."""
        alerts = self._get("alerts")["alerts"]
        found = [one for one in alerts if (one["labels"]["alertname"], one["state"]) == (name, "firing")]
        assert found, name
        first = found[0]
        assert isinstance(first, dict)
        return first

    def targets(self) -> list[dict[str, Any]]:
        """Return the targets that are scraped."""
        found = self._get("targets", state="active")["activeTargets"]
        assert isinstance(found, list)
        return found

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=20) as response:
            data = json.load(response)["data"]
        assert isinstance(data, dict)
        return data


@contextmanager
def run_prometheus(
    kubectl: Kubectl, folder: Path, scrapes: Sequence[dict[str, Any]], rules: Sequence[dict[str, Any]]
) -> Iterator[Prometheus]:
    """Run Prometheus with its files in `folder`. Skips the test if it is not installed.

    Args:
        kubectl: finds the targets.
        folder: for the configuration, the data and the log.
        scrapes: see `scrape_config`.
        rules: the `spec` of each PrometheusRule.
    """
    program = shutil.which("prometheus") or pytest.skip("prometheus is not installed")
    names = []
    for number, rule in enumerate(rules):
        names.append(f"rules-{number}.yaml")
        (folder / names[-1]).write_text(yaml.safe_dump(rule), "utf-8")
    intervals = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    config = {"global": intervals, "rule_files": names, "scrape_configs": list(scrapes)}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        program,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with Discovery(kubectl, folder).run(), (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            eventually("a Prometheus that is ready", lambda: _is_ready(process, url, folder), 30)
            yield Prometheus(url)
        finally:
            process.terminate()
            process.wait(20)


def _is_ready(process: subprocess.Popen[bytes], url: str, folder: Path) -> bool:
    assert process.poll() is None, (folder / "log").read_text("utf-8")
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def require_reachable_pods(prometheus: Prometheus) -> None:
    """Wait until the targets are scraped; skip the test if the addresses of pods cannot be reached from here."""
    unreachable = ("no route to host", "network is unreachable", "i/o timeout", "context deadline exceeded")

    def look() -> list[str] | None:
        errors = [target["lastError"] for target in prometheus.targets()]
        is_known = errors and all(target["health"] != "unknown" for target in prometheus.targets())
        return errors if is_known else None

    errors = eventually("targets that are scraped", look, 30)
    if any(word in error for word in unreachable for error in errors):
        pytest.skip(f"the addresses of pods cannot be reached from here: {errors}")


def scrape_config(monitor: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return the scrape configuration that the Prometheus Operator makes of a PodMonitor or ServiceMonitor."""
    if monitor["kind"] == "PodMonitor":
        role, relabelings = "pod", _of_pod_monitor(monitor, namespace)
    else:
        role, relabelings = "endpoints", _of_service_monitor(monitor)
    return {
        "job_name": f"{monitor['kind']}/{namespace}/{monitor['metadata']['name']}/0",
        "file_sd_configs": [{"files": [f"{role}.json"]}],
        "relabel_configs": relabelings,
    }


def documented_scrape_config() -> dict[str, Any]:
    """Return the scrape configuration of docs/monitoring.md, for a Prometheus without the operator."""
    text = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    (block,) = (one for one in re.findall(r"```yaml\n(.+?)```", text, re.DOTALL) if "scrape_configs" in one)
    (scrape,) = yaml.safe_load(block)["scrape_configs"]
    assert scrape.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    return {**scrape, "file_sd_configs": [{"files": ["pod.json"]}]}


def _of_pod_monitor(monitor: dict[str, Any], namespace: str) -> list[dict[str, Any]]:
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    return [
        _drop("pod_phase", "(Failed|Succeeded)"),
        *_keep_labels("pod", monitor),
        _keep("pod_container_port_name", endpoint["port"]),
        _copy("namespace", "namespace"),
        _copy("pod_container_name", "container"),
        _copy("pod_name", "pod"),
        {"target_label": "job", "replacement": f"{namespace}/{monitor['metadata']['name']}"},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]


def _of_service_monitor(monitor: dict[str, Any]) -> list[dict[str, Any]]:
    (endpoint,) = monitor["spec"]["endpoints"]
    return [
        *_keep_labels("service", monitor),
        _keep("endpoint_port_name", endpoint["port"]),
        _copy("namespace", "namespace"),
        _copy("service_name", "service"),
        _copy("pod_name", "pod"),
        _copy("pod_container_name", "container"),
        _drop("pod_phase", "(Failed|Succeeded)"),
        _copy("service_name", "job"),
        {"target_label": "endpoint", "replacement": endpoint["port"]},
    ]


def _keep_labels(kind: str, monitor: dict[str, Any]) -> list[dict[str, Any]]:
    labels: Labels = monitor["spec"]["selector"]["matchLabels"]
    return [_keep(f"{kind}_label_{_identifier(name)}", value) for name, value in labels.items()]


def _keep(source: str, regex: str) -> dict[str, Any]:
    return {"action": "keep", "source_labels": [f"{META}{source}"], "regex": regex}


def _drop(source: str, regex: str) -> dict[str, Any]:
    return {"action": "drop", "source_labels": [f"{META}{source}"], "regex": regex}


def _copy(source: str, target: str) -> dict[str, Any]:
    return {"source_labels": [f"{META}{source}"], "target_label": target}


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


@dataclass(frozen=True, slots=True)
class Discovery:
    """Writes the targets of a namespace as Prometheus' Kubernetes service discovery would find them.

    Attributes:
        kubectl: reads the namespace.
        folder: for the files `pod.json` and `endpoints.json`, named by role.
    """

    kubectl: Kubectl
    folder: Path

    @contextmanager
    def run(self) -> Iterator[None]:
        """Update the files in a thread while the block runs."""
        self.update()
        ended = threading.Event()
        thread = threading.Thread(target=self._repeat, args=(ended,), name="discovery")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def update(self) -> None:
        """Write both files. Raises `CommandFailed`."""
        found = self.kubectl.get("pods,endpoints,services")["items"]
        pods, endpoints, services = (
            {one["metadata"]["name"]: one for one in found if one["kind"] == kind}
            for kind in ("Pod", "Endpoints", "Service")
        )
        self._write("pod", [target for pod in pods.values() for target in _pod_targets(pod)])
        targets = [
            target
            for name, one in endpoints.items()
            if name in services
            for target in _endpoint_targets(one, services[name], pods)
        ]
        self._write("endpoints", targets)

    def _repeat(self, ended: threading.Event) -> None:
        while not ended.wait(DISCOVERY_SECONDS):
            with suppress(CommandFailed):
                self.update()

    def _write(self, role: str, targets: list[tuple[str, Labels]]) -> None:
        groups = [{"targets": [address], "labels": labels} for address, labels in targets]
        part = self.folder / f"{role}.part"
        part.write_text(json.dumps(groups), "utf-8")
        part.replace(self.folder / f"{role}.json")


def _pod_targets(pod: dict[str, Any]) -> Iterator[tuple[str, Labels]]:
    """Yield address and labels of each port of a pod that has an address."""
    address = pod["status"].get("podIP")
    for container in pod["spec"]["containers"] if address else ():
        for port in container.get("ports", ()):
            yield f"{address}:{port['containerPort']}", _pod_labels(pod, container, port)


def _pod_labels(pod: dict[str, Any], container: dict[str, Any], port: dict[str, Any]) -> Labels:
    metadata, status = pod["metadata"], pod["status"]
    labels = {
        "namespace": metadata["namespace"],
        "pod_name": metadata["name"],
        "pod_ip": status["podIP"],
        "pod_phase": status["phase"],
        "pod_container_name": container["name"],
        "pod_container_port_name": port["name"],
        "pod_container_port_number": str(port["containerPort"]),
    }
    for kind in ("label", "annotation"):
        for name, value in metadata.get(f"{kind}s", {}).items():
            labels[f"pod_{kind}_{_identifier(name)}"] = value
    return {f"{META}{name}": value for name, value in labels.items()}


def _endpoint_targets(
    endpoints: dict[str, Any], service: dict[str, Any], pods: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, Labels]]:
    """Yield address and labels of each port of each address, ready or not, with the labels of its pod."""
    own = {"namespace": service["metadata"]["namespace"], "service_name": service["metadata"]["name"]}
    for name, value in service["metadata"].get("labels", {}).items():
        own[f"service_label_{_identifier(name)}"] = value
    for subset in endpoints.get("subsets", ()):
        for one in (*subset.get("addresses", ()), *subset.get("notReadyAddresses", ())):
            of_pod = dict(_pod_targets(pods.get(one.get("targetRef", {}).get("name", ""), NO_POD)))
            for port in subset["ports"]:
                address = f"{one['ip']}:{port['port']}"
                labels = {f"{META}{key}": value for key, value in own.items()}
                labels[f"{META}endpoint_port_name"] = port.get("name", "")
                yield address, {**of_pod.get(address, {}), **labels}
