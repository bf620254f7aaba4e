"""Ends workers in all the ways in which a cluster does, while a pod sends calls (`call_load`).

Each disruption replaces `count` workers of the release, or all, and returns the seconds until the new ones were ready;
of several that are replaced one by one, those of the slowest.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.cluster.demo_hub import RESTRICTED, RESTRICTED_CONTAINER, ROOT
from tests.cluster.kubectl import Kubectl, eventually
from tests.cluster.release import Release, state

PROGRAM: Final = ROOT / "tests" / "support" / "call_load.py"
REPLICAS: Final = 2
READY_SECONDS: Final = 600.0  # for the slowest machine; a test waits no longer than it has to

_RECEIVE: Final = """
import os, sys
with open("/tmp/ghz.part", "wb") as file:
    file.write(sys.stdin.buffer.read())
os.chmod("/tmp/ghz.part", 0o755)
os.rename("/tmp/ghz.part", "/tmp/ghz")
"""


@dataclass(frozen=True, slots=True)
class CallLoad:
    """A pod that sends calls and counts the failed ones."""

    kubectl: Kubectl
    name: str

    def phase(self, name: str) -> None:
        """Count the calls that start from now on under another name."""
        self.kubectl("exec", self.name, "--", "python", "-c", f"open('/tmp/phase', 'w').write({name!r})")

    def calls(self) -> int:
        """Return the number of calls that have ended."""
        return int(self.kubectl("exec", self.name, "--", "sh", "-c", "cat /tmp/calls 2>/dev/null || echo 0"))

    def give_ghz(self, program: Path) -> None:
        """Copy ghz into the pod, where it then calls as well. It is a static binary."""
        self.kubectl("exec", "--stdin", self.name, "--", "python", "-c", _RECEIVE, stdin=program.read_bytes())

    def stop(self, seconds: float = 120) -> list[dict[str, Any]]:
        """Let the calls in progress end, and return the counts; see `call_load`."""
        self.kubectl("exec", self.name, "--", "python", "-c", "open('/tmp/stop', 'w').close()")
        eventually("the end of the load", self._has_ended, seconds)
        log = self.kubectl("logs", self.name)
        self.kubectl.says("delete", "pod", self.name, "--wait=false")
        lines = [line for line in log.splitlines() if line.startswith("REPORT ")]
        assert lines, log
        report = json.loads(lines[-1].removeprefix("REPORT "))
        assert isinstance(report, list)
        return report

    def _has_ended(self) -> bool:
        return self.kubectl.get("pod", self.name)["status"].get("phase") in {"Succeeded", "Failed"}


def start_load(
    release: Release, image: str, rate: float, service_config: str = "", name: str = "call-load"
) -> CallLoad:
    """Start the pod, which calls by the name of each of the two services. Returns once it has sent calls."""
    targets = [f"{release.name}:50051", f"dns:///{release.name}-headless:50051"]
    arguments = [*targets, f"--rate={rate}", f"--service-config={service_config}"]
    container = {
        "name": "load",
        "image": image,
        "command": ["python", "-u", "-c", PROGRAM.read_text(encoding="utf-8"), *arguments],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "securityContext": RESTRICTED_CONTAINER,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "securityContext": RESTRICTED,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    load = CallLoad(release.kubectl, name)
    release.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    release.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=90s")
    time.sleep(5)  # all sources have begun
    return load


def delete_gracefully(release: Release, count: int = REPLICAS) -> float:
    """Delete one worker after the other; wait each time until all are ready again."""
    return _one_by_one(release, count, lambda name: release.kubectl("delete", "pod", name, "--wait=false"))


def kill_by_force(release: Release, count: int = REPLICAS) -> float:
    """Kill one worker after the other without a grace period."""
    force = ("--grace-period=0", "--force", "--wait=false")
    return _one_by_one(release, count, lambda name: release.kubectl("delete", "pod", name, *force))


def evict(release: Release, count: int = REPLICAS) -> float:
    """Evict one worker after the other by the Eviction API, as `kubectl drain` does."""

    def once(name: str) -> bool:
        path = f"/api/v1/namespaces/{release.kubectl.namespace}/pods/{name}/eviction"
        metadata = {"name": name, "namespace": release.kubectl.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        said = release.kubectl.says("create", "--raw", path, "--filename=-", stdin=json.dumps(eviction))
        return said.code == 0

    return _one_by_one(release, count, lambda name: eventually(f"the eviction of {name}", lambda: once(name)))


def upgrade(release: Release, *values: str) -> float:
    """Roll all workers out by `helm upgrade`; the values should change their pods."""
    return _timed(release, lambda: release("upgrade", *values))


def roll_back(release: Release) -> float:
    """Return to the former revision by `helm rollback`."""
    return _timed(release, lambda: release("rollback"))


def _timed(release: Release, roll: Callable[[], object]) -> float:
    began = time.monotonic()
    roll()
    wait_until_ready(release)
    return time.monotonic() - began


def _one_by_one(release: Release, count: int, end: Callable[[str], object]) -> float:
    slowest = 0.0
    for pod in release.pods()[:count]:
        began = time.monotonic()
        before = _identities(release)
        end(pod["metadata"]["name"])
        eventually("another worker", partial(_differ, release, before))
        wait_until_ready(release)
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def _differ(release: Release, before: set[tuple[str, int]]) -> bool:
    return _identities(release) != before


def _identities(release: Release) -> set[tuple[str, int]]:
    """Return uid and restarts of each worker that is not being deleted."""
    return {(pod["metadata"]["uid"], state(pod).get("restartCount", 0)) for pod in release.pods()}


def wait_until_ready(release: Release) -> None:
    """Wait until the workers of the newest revision are ready, and no others are left."""
    eventually("ready workers", lambda: _is_complete(release), READY_SECONDS)


def _is_complete(release: Release) -> bool:
    deployment = release.kubectl.get("deployment", release.name)
    status, replicas = deployment["status"], deployment["spec"]["replicas"]
    return (
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        == [replicas] * 3
        and all(state(pod).get("ready") for pod in release.pods())
    )


def table(report: Sequence[dict[str, Any]]) -> str:
    """Return the counts of each phase and source as text, and the first errors of each."""
    lines = [f"{'phase':<22} {'source':<16} {'calls':>7} {'failed':>7} {'worst':>8}"]
    errors: list[str] = []
    for phase in dict.fromkeys(entry["phase"] for entry in report):
        entries = [entry for entry in report if entry["phase"] == phase]
        for source in sorted({entry["source"] for entry in entries}):
            own = [entry for entry in entries if entry["source"] == source]
            lines.append(_row(phase, source, own))
            errors += [f"{phase} {source} {one['target']}: {error}" for one in own for error in one["errors"]]
        lines.append(_row(phase, "all", entries))
    lines.append(_row("all", "all", list(report)))
    return "\n".join([*lines, *errors])


def _row(phase: str, source: str, entries: list[dict[str, Any]]) -> str:
    calls, failed = (sum(entry[name] for entry in entries) for name in ("calls", "failed"))
    worst = max((entry["worst"] for entry in entries), default=0.0)
    return f"{phase:<22} {source:<16} {calls:>7} {failed:>7} {worst:>6.2f} s"
