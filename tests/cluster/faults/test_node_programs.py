"""The API server, etcd or the kubelet is away: the warm goes on, workers serve, and all is true again afterwards.

The workers' caller runs in the cluster, because `kubectl` cannot reach a pod meanwhile.
"""

import json
from collections.abc import Callable
from typing import Final

import pytest

from tests.cluster.caller import Caller
from tests.cluster.demo_hub import RESTRICTED_CONTAINER
from tests.cluster.faults.conftest import LARGE_BYTES, NodePrograms
from tests.cluster.hub_control import HubControl
from tests.cluster.kubectl import eventually
from tests.cluster.release import FIRST, LARGE, WAIT, Release, state
from tests.cluster.warmers import Warmer, warmer

NewRelease = Callable[..., Release]
NewCaller = Callable[[str], Caller]
ONE_MODEL: Final = "--set=worker.models={german-sentiment}"
NO_WORKERS: Final = "--set=worker.replicas=0"
# The file takes about 20 s: eight connections of that rate.
RATE: Final = 1_500_000
# So slow that the Lease is older than its duration, and has to be renewed, when all is there.
SLOW_RATE: Final = 350_000
BEGUN: Final = 32 << 20


def _begin(release: Release, hub: HubControl, verb: str, *options: str, rate: int = RATE) -> Warmer:
    """Start a warm of the large file, and return when an eighth of it is there."""
    hub.add("slow", path="large.safetensors", bytes_per_second=rate)
    release(verb, *LARGE, *options)
    hub.wait_until_sent(BEGUN)
    return warmer(release)


def _is_settled(release: Release) -> bool:
    """Return whether the release has one worker, and it is ready."""
    pods = release.pods()
    return len(pods) == 1 and bool(state(pods[0]).get("ready"))


@pytest.mark.parametrize("program", ["kube-apiserver", "etcd"])
def test_without_the_api_server_a_warm_is_published_and_workers_serve(
    new_release: NewRelease, hub: HubControl, node_programs: NodePrograms, new_caller: NewCaller, program: str
) -> None:
    release = new_release(f"no-{program}")
    release("install", *FIRST, ONE_MODEL, *WAIT)
    caller = new_caller(f"dns:///{release.name}-headless:50051")
    warm = _begin(release, hub, "upgrade", ONE_MODEL)
    before = caller.calls().count

    node_programs.away(program, 45)

    warm.wait_for("Complete")
    assert warm.exit_codes() == [0]
    assert "no Event could be written (WARMED)" in warm.log(), (
        "the last file came while the API server was away"
    )
    assert "4 models" in warm.event("OK"), "the end is told when it is back"
    assert hub.bytes_sent() == LARGE_BYTES
    eventually("one worker", lambda: _is_settled(release), 240)
    assert release.check(release.running_worker()).code == 0
    calls = caller.calls()
    assert calls.count > before
    assert calls.failed == ()


def test_a_warm_that_could_not_renew_its_lease_for_two_minutes_is_repeated(
    new_release: NewRelease, hub: HubControl, node_programs: NodePrograms
) -> None:
    release = new_release("long-outage")
    warm = _begin(release, hub, "install", NO_WORKERS, rate=SLOW_RATE)

    node_programs.away("kube-apiserver", 150)

    warm.wait_for("Complete")
    assert warm.exit_codes() == [41, 0]
    assert warm.messages()[0]["reason"] == "LEASE_LOST"
    assert hub.bytes_sent() == LARGE_BYTES


def test_a_warmer_that_starts_without_the_api_server_waits_for_it(
    new_release: NewRelease, hub: HubControl, node_programs: NodePrograms, images: tuple[str, ...]
) -> None:
    release = new_release("start-outage")
    registry, tag = (one.partition("=")[2].partition("=")[2] for one in images)
    sleeper = {
        "name": "sleep",
        "image": f"{registry}/qda-cache-warmer:{tag}",
        "command": ["sleep", "10"],
        "securityContext": RESTRICTED_CONTAINER,
    }
    release("install", *FIRST, NO_WORKERS, f"--set-json=cacheWarmer.initContainers={json.dumps([sleeper])}")
    warm = warmer(release)

    def is_sleeping() -> bool:
        found = [pod["status"].get("initContainerStatuses") for pod in warm.pods()]
        return bool(found and found[0] and "running" in found[0][0]["state"])

    eventually("an init container that runs", is_sleeping)

    node_programs.away("kube-apiserver", 30)

    warm.wait_for("Complete")
    assert warm.exit_codes() == [0]
    assert "the API server does not answer" in warm.log() or hub.requests()


@pytest.mark.parametrize("seconds", [25, 75])
def test_without_the_kubelet_the_warm_goes_on_and_workers_serve(
    new_release: NewRelease, hub: HubControl, node_programs: NodePrograms, new_caller: NewCaller, seconds: int
) -> None:
    release = new_release("no-kubelet")
    release("install", *FIRST, ONE_MODEL, *WAIT)
    caller = new_caller(f"dns:///{release.name}-headless:50051")
    warm = _begin(release, hub, "upgrade", ONE_MODEL)

    node_programs.away("kubelet", seconds)

    warm.wait_for("Complete")
    assert warm.exit_codes() == [0]
    eventually("one worker", lambda: _is_settled(release), 240)
    assert state(release.worker())["restartCount"] == 0
    assert hub.bytes_sent() == LARGE_BYTES
    assert caller.calls().failed == ()
