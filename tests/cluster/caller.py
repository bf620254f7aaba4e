"""A pod that calls a release all the time with the project's client, and counts what it got."""

import json
from dataclasses import dataclass
from typing import Any, Final

from tests.cluster.demo_hub import RESTRICTED, RESTRICTED_CONTAINER
from tests.cluster.kubectl import Kubectl

_CALLS: Final = """
import json, os, sys, time
from qda_worker.client import Client, ClientError

calls, failed, longest, last = 0, [], 0.0, 0.0
with Client(sys.argv[1]) as client:
    client.wait_ready(120)
    while True:
        start = time.monotonic()
        try:
            list(client.sentiment(["Das ist gut."]))
        except ClientError as error:
            failed.append(str(error))
        else:
            last = time.time()
        calls, longest = calls + 1, max(longest, time.monotonic() - start)
        with open("/tmp/new", "w") as file:
            json.dump({"calls": calls, "failed": failed[-50:], "failures": len(failed), "longest": longest}, file)
        os.rename("/tmp/new", "/tmp/calls.json")
        time.sleep(0.05)
"""


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls so far.

    Attributes:
        count: of all of them.
        failed: messages of the last 50 that failed.
        longest: seconds of the longest call.
    """

    count: int
    failed: tuple[str, ...]
    longest: float


@dataclass(frozen=True, slots=True)
class Caller:
    """The pod. It has no probe, so it goes on while the kubelet is away."""

    kubectl: Kubectl
    name: str

    def start(self, image: str, target: str) -> None:
        """Start it, and wait for its first calls. Raises `CommandFailed`."""
        self.kubectl.apply(_pod(self.name, image, target))
        self.kubectl("wait", "--for=condition=Ready", f"pod/{self.name}", "--timeout=150s")

    def calls(self) -> Calls:
        """Return what it did so far. Raises `CommandFailed`."""
        found = json.loads(self.kubectl("exec", self.name, "--", "cat", "/tmp/calls.json"))
        return Calls(found["calls"], tuple(found["failed"]), found["longest"])

    def stop(self) -> None:
        """Delete it."""
        self.kubectl.says("delete", "pod", self.name, "--wait=false", "--grace-period=1")


def _pod(name: str, image: str, target: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        "command": ["python", "-c", _CALLS, target],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "readinessProbe": {
            "exec": {"command": ["cat", "/tmp/calls.json"]},
            "periodSeconds": 2,
            "failureThreshold": 3,
        },
        "securityContext": RESTRICTED_CONTAINER,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": RESTRICTED,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
