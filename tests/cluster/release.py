"""A release of the chart in the namespace of the test, and its objects."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.cluster.demo_hub import CATALOGS, ROOT
from tests.cluster.kubectl import CommandFailed, Kubectl, Said, eventually, run

CHART: Final = ROOT / "charts" / "qda-worker"
VALUES: Final = ROOT / "tests" / "cluster" / "values.yaml"
FIRST: Final = (
    f"--set-file=catalog={CATALOGS / 'catalog.yaml'}",
    f"--set-file=catalogLock={CATALOGS / 'catalog.lock.json'}",
)
SECOND: Final = (f"--set-file=catalog={CATALOGS / 'second.yaml'}",)
THIRD: Final = (f"--set-file=catalog={CATALOGS / 'third.yaml'}",)
LARGE: Final = (f"--set-file=catalog={CATALOGS / 'large.yaml'}",)
WAIT: Final = ("--wait", "--timeout=400s")


@dataclass(frozen=True, slots=True)
class Release:
    """One release; its objects are called like it, because its name contains the chart's."""

    name: str
    kubectl: Kubectl
    images: Sequence[str]
    helm: str = "helm"

    def says(self, verb: str, *arguments: str) -> Said:
        """Run helm and return its result."""
        chart = [str(CHART), f"--values={VALUES}", *self.images] if verb in {"install", "upgrade"} else []
        return run([self.helm, *self.kubectl.options(), verb, self.name, *chart, *arguments])

    def __call__(self, verb: str, *arguments: str) -> str:
        """Run helm. Raises `CommandFailed`."""
        said = self.says(verb, *arguments)
        if said.code:
            seen = self.kubectl.says("get", "pods,jobs,events").out
            raise CommandFailed(f"{self.helm} {verb}: {said.code}: {said.err}{said.out}\n{seen}")
        return said.out

    @property
    def claim(self) -> str:
        return f"{self.name}-cache"

    def pods(self, component: str = "worker") -> list[dict[str, Any]]:
        """Return the pods that are not being deleted."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        return [
            one for one in self.kubectl.items("pods", selector) if "deletionTimestamp" not in one["metadata"]
        ]

    def worker(self) -> dict[str, Any]:
        """Return the one worker."""
        return eventually("a worker's pod", lambda: next(iter(self.pods()), None))

    def running_worker(self) -> str:
        """Return the name of the one worker, once its container runs."""

        def look() -> str | None:
            for pod in self.pods():
                if state(pod).get("started"):
                    return str(pod["metadata"]["name"])
            return None

        return eventually("a worker that runs", look)

    def jobs(self) -> dict[str, str]:
        """Return the uids of the warmer's Jobs, by name."""
        found = self.kubectl.items("jobs", f"app.kubernetes.io/instance={self.name}")
        return {job["metadata"]["name"]: job["metadata"]["uid"] for job in found}

    def is_ready(self) -> bool:
        """Return whether the one worker is ready."""
        return any(state(pod).get("ready") for pod in self.pods())

    def check(self, pod: str, *options: str) -> Said:
        """Run `cache-check` in a worker."""
        return self.kubectl.says("exec", pod, "--container=worker", "--", "cache-check", *options)

    def event(self, kind: str, reason: str, seconds: float = 90.0) -> str:
        """Return the message of an Event of that reason on the release's Job or Deployment, once it exists."""

        def look() -> str | None:
            for event in self.kubectl.items("events"):
                involved = event["involvedObject"]
                if (involved["kind"], event["reason"]) == (kind, reason) and involved["name"].startswith(
                    self.name
                ):
                    return str(event["message"])
            return None

        return eventually(f"an Event {reason} on the {kind} of {self.name}", look, seconds)

    def last_words(self) -> dict[str, Any]:
        """Return the termination message of a warmer that ended."""

        def look() -> str | None:
            for pod in self.pods("warmer"):
                message = state(pod).get("state", {}).get("terminated", {}).get("message")
                if message:
                    return str(message)
            return None

        words = json.loads(eventually(f"the last words of {self.name}'s warmer", look))
        assert isinstance(words, dict)
        return words

    def remove(self) -> None:
        """Uninstall, and delete the claim that was kept."""
        self.says("uninstall", "--wait", "--timeout=60s")
        self.kubectl.says("delete", "pvc", self.claim, "--ignore-not-found", "--timeout=60s")


def state(pod: dict[str, Any]) -> dict[str, Any]:
    """Return the status of a pod's one container; empty before it has one."""
    statuses = pod["status"].get("containerStatuses") or [{}]
    first = statuses[0]
    assert isinstance(first, dict)
    return first
