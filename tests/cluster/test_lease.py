"""One writer a claim, by a Lease of the real API server: two at once, one that is suspended, and an API server outage.

The last two take more than a minute each by their nature, so they happen at the same time.
"""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.cluster import demo_hub
from tests.cluster.kubectl import Kubectl, Said, eventually, run
from tests.cluster.release import FIRST, WAIT, Release

SHELL_ONLY: Final = (
    "--set=cacheWarmer.enabled=false",
    "--set=cacheWarmer.shell=true",
    "--set=worker.replicas=0",
)
NO_WORKERS: Final = "--set=worker.replicas=0"
_FAULTS: Final = """
import sys, urllib.request as u
body = sys.argv[1].encode() or None
u.urlopen(u.Request("http://127.0.0.1:8001/__faults__", data=body, method="POST" if body else "DELETE")).read()
"""
_FROZEN: Final = """
import os, signal, subprocess, sys, time
child = subprocess.Popen(["cache-warmer", "warm", "--wait", "0", "--format", "json"], stdout=open("/tmp/frozen", "w"))
lock = "/cache/.model-cache/lock"
while not (os.path.exists(lock) and os.path.getsize(lock)):
    time.sleep(0.1)
time.sleep(2)
child.send_signal(signal.SIGSTOP)
print("stopped", flush=True)
while not os.path.exists("/tmp/wake"):
    time.sleep(0.2)
child.send_signal(signal.SIGCONT)
child.wait()
os.rename("/tmp/frozen", "/tmp/woken")
"""


def _stall_next_big_file(kubectl: Kubectl) -> None:
    fault = {"kind": "stall", "path": "model.safetensors", "after": 20_000, "times": 1}
    kubectl("exec", demo_hub.NAME, "--", "python", "-c", _FAULTS, json.dumps(fault))


def _in_shell(release: Release, *command: str) -> Said:
    return release.kubectl.says("exec", f"deploy/{release.name}-shell", "--", *command)


def _lease(release: Release) -> dict[str, Any]:
    spec = release.kubectl.get("lease", f"{release.claim}-writer")["spec"]
    assert isinstance(spec, dict)
    return spec


def test_of_two_warmers_one_fetches_and_the_other_reports_the_holder(
    new_release: Callable[..., Release], kubectl: Kubectl
) -> None:
    release = new_release("twice")
    release("install", *FIRST, *SHELL_ONLY, *WAIT)
    said: list[Said] = []
    command = ("cache-warmer", "warm", "--format", "json")
    runs = [threading.Thread(target=lambda: said.append(_in_shell(release, *command))) for _ in range(2)]
    _slow(kubectl)
    try:
        for thread in runs:
            thread.start()
        for thread in runs:
            thread.join()
    finally:
        kubectl("exec", demo_hub.NAME, "--", "python", "-c", _FAULTS, "")

    assert [one.code for one in said] == [0, 0], said
    documents = sorted((json.loads(one.out) for one in said), key=lambda one: int(one["bytes_fetched"]))
    assert documents[0]["bytes_fetched"] == 0
    assert documents[1]["bytes_fetched"] > 0
    (pod,) = release.pods("warmer")
    waited = [one.err for one in said if "waiting for another warmer" in one.err]
    assert len(waited) == 1
    assert f"pod {pod['metadata']['name']} since" in waited[0]
    assert _lease(release).get("holderIdentity", "") == ""

    # The name ends with the identity of the cluster.
    files = f"/cache/.model-cache/references/{kubectl.namespace}_{release.name}-*.json"
    reference = json.loads(_in_shell(release, "sh", "-c", f"cat {files}").out)
    assert reference["deployment"] == release.name


def _slow(kubectl: Kubectl) -> None:
    fault = {"kind": "slow", "path": "model.safetensors", "bytes_per_second": 500_000}
    kubectl("exec", demo_hub.NAME, "--", "python", "-c", _FAULTS, json.dumps(fault))


@dataclass(frozen=True, slots=True)
class Slow:
    """Two releases: the warmer of one was suspended, that of the other cannot reach its Lease."""

    frozen: Release
    cut_off: Release


@pytest.fixture
def in_trouble(new_release: Callable[..., Release], kubectl: Kubectl) -> Iterator[Slow]:
    frozen, cut_off = new_release("frozen"), new_release("cutoff")
    frozen("install", *FIRST, *SHELL_ONLY, *WAIT)
    _stall_next_big_file(kubectl)
    command = [
        "kubectl",
        *kubectl.options(),
        "exec",
        f"deploy/{frozen.name}-shell",
        "--",
        "python",
        "-c",
        _FROZEN,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as keeper:
        try:
            assert keeper.stdout is not None
            assert keeper.stdout.readline() == "stopped\n"
            _stall_next_big_file(kubectl)
            cut_off("install", *FIRST, NO_WORKERS, "--set=cacheWarmer.stallTimeout=85s")
            yield Slow(frozen, cut_off)
        finally:
            keeper.kill()


def test_a_suspended_holder_publishes_nothing_and_an_outage_is_tolerated(
    in_trouble: Slow, kubectl: Kubectl
) -> None:
    cut_off, frozen = in_trouble.cut_off, in_trouble.frozen
    first = eventually("a holder", lambda: _holder(cut_off))
    binding = f"{cut_off.name}-warmer"
    kept = kubectl.get("rolebinding", binding)
    kubectl("delete", "rolebinding", binding)
    holder = _lease(frozen)["holderIdentity"]

    second = _in_shell(frozen, "cache-warmer", "warm", "--wait", "2m", "--format", "json")  # more than 60 s

    assert second.code == 0, second.err
    assert f"pod {holder.partition('_')[0]} since" in second.err
    assert "which is silent" in second.err
    _in_shell(frozen, "touch", "/tmp/wake")
    woken = eventually(
        "the end of the one that was frozen", lambda: _in_shell(frozen, "cat", "/tmp/woken").out
    )
    assert json.loads(woken)["reason"] == "LEASE_LOST"
    assert _in_shell(frozen, "cache-check", "--deep").code == 0

    assert kubectl.items("pods", f"batch.kubernetes.io/job-name,app.kubernetes.io/instance={cut_off.name}")
    metadata = {name: kept["metadata"][name] for name in ("name", "namespace", "labels", "annotations")}
    kubectl.apply({**kept, "metadata": metadata})
    assert cut_off.last_words()["reason"] == "OK"
    log = run(["kubectl", *kubectl.options(), "logs", f"job/{next(iter(cut_off.jobs()))}"]).out
    assert "cannot be renewed" in log
    assert "is renewed again" in log
    assert _lease(cut_off)["leaseTransitions"] == 0, f"{first} held it all the time"


def _holder(release: Release) -> str | None:
    found = release.kubectl.says("get", "lease", f"{release.claim}-writer", "--output=json")
    return str(json.loads(found.out)["spec"].get("holderIdentity", "")) if found.code == 0 else None
