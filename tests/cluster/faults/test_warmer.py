"""The warmer is deleted, killed, or cannot get the large file: what an operator sees, and how the release recovers.

Each test asserts how many bytes of the file the hub sent in all: what was there before the fault is not fetched again.
"""

from collections.abc import Callable
from typing import Final

import pytest

from tests.cluster.faults.conftest import LARGE_BYTES
from tests.cluster.hub_control import HubControl
from tests.cluster.kubectl import eventually
from tests.cluster.release import FIRST, LARGE, WAIT, Release, state
from tests.cluster.warmers import Warmer, warmer

NewRelease = Callable[..., Release]
ONE_MODEL: Final = "--set=worker.models={german-sentiment}"
NO_WORKERS: Final = "--set=worker.replicas=0"
SHELL: Final = "--set=cacheWarmer.shell=true"
# The file takes about 20 s: eight connections of that rate.
RATE: Final = 1_500_000
# Bytes that were under way on eight connections, at each interruption.
UNDER_WAY: Final = 24 << 20
BEGUN: Final = 64 << 20
# Processes that are smaller than the warmer and together exceed its limit, so that the kernel kills the warmer.
_USE_MEMORY: Final = """
import subprocess, sys
hog = "x = bytearray(30 << 20); import time; time.sleep(60)"
for each in [subprocess.Popen([sys.executable, "-S", "-c", hog]) for _ in range(10)]:
    each.wait()
"""
_FILL: Final = """
import contextlib
with contextlib.suppress(OSError), open("/cache/filler", "wb", buffering=0) as file:
    while file.write(bytes(1 << 20)):
        pass
"""


def _slow_down(hub: HubControl) -> None:
    hub.add("slow", path="large.safetensors", bytes_per_second=RATE)


def _begin(release: Release, hub: HubControl, *options: str) -> Warmer:
    """Start a warm of the large file, and return when a quarter of it is there."""
    _slow_down(hub)
    release("install", *LARGE, *options)
    hub.wait_until_sent(BEGUN)
    return warmer(release)


def test_a_deleted_warmer_is_replaced_and_the_old_worker_serves_on(
    new_release: NewRelease, hub: HubControl
) -> None:
    release = new_release("deleted")
    release("install", *FIRST, ONE_MODEL, *WAIT)
    old = release.running_worker()
    _slow_down(hub)
    release("upgrade", *LARGE, ONE_MODEL)
    hub.wait_until_sent(BEGUN)
    warm = warmer(release)
    first = warm.running()

    release.kubectl("delete", "pod", first)

    assert "tries again" in warm.event("INTERRUPTED")
    warm.running(other_than=first)
    pods = {pod["metadata"]["name"]: pod for pod in release.pods()}
    assert state(pods[old])["ready"]
    (new,) = [name for name in pods if name != old]
    eventually("the note of a running warm", lambda: "a warm is running" in release.check(new).out, 240)
    assert release.check(old).code == 0
    hub.clear()
    warm.wait_for("Complete")
    release.kubectl("rollout", "status", f"deployment/{release.name}", "--timeout=90s")
    assert hub.bytes_sent() <= LARGE_BYTES + UNDER_WAY


def test_a_warmer_whose_pod_was_removed_by_force_is_replaced(
    new_release: NewRelease, hub: HubControl
) -> None:
    release = new_release("forced")
    warm = _begin(release, hub, NO_WORKERS)
    first = warm.running()

    release.kubectl("delete", "pod", first, "--grace-period=0", "--force")

    hub.clear()
    warm.wait_for("Complete")
    assert hub.bytes_sent() <= LARGE_BYTES + UNDER_WAY


@pytest.mark.parametrize(
    ("fault", "reason", "settings"),
    [
        ({"kind": "hang-up"}, "HUB_UNREACHABLE", ()),
        ({"kind": "status", "status": 503}, "HUB_BUSY", ()),
        ({"kind": "stall", "after": 0}, "HUB_STALLED", ("--set=cacheWarmer.stallTimeout=2s",)),
    ],
    ids=["down", "busy", "silent"],
)
def test_a_hub_that_fails_for_a_while_is_tried_again(
    new_release: NewRelease, hub: HubControl, fault: dict[str, object], reason: str, settings: tuple[str, ...]
) -> None:
    release = new_release(f"hub-{fault['kind']}")
    warm = _begin(release, hub, NO_WORKERS, *settings)
    hub.clear()
    hub.add(**fault)  # type: ignore[arg-type]

    message = warm.event(reason, 150)

    assert "tries again" in message
    hub.clear()
    warm.wait_for("Complete")
    assert warm.messages()[0]["reason"] == reason
    assert hub.bytes_sent() <= LARGE_BYTES + UNDER_WAY


def test_a_slow_hub_is_no_failure_and_its_progress_is_shown(new_release: NewRelease, hub: HubControl) -> None:
    release = new_release("hub-slow")
    warm = _begin(release, hub, ONE_MODEL, "--set=cacheWarmer.stallTimeout=2s")
    name = release.running_worker()

    def progress() -> str | None:
        said = release.check(name)
        return said.out if "fetching" in said.out else None

    note = eventually("progress", progress)

    assert " %" in note
    warm.wait_for("Complete")
    assert len(warm.pods()) == 1
    eventually("a worker that is ready", release.is_ready, 240)
    assert hub.bytes_sent() == LARGE_BYTES


@pytest.mark.parametrize(
    ("fault", "reason", "said", "whole"),
    [
        ({"kind": "status", "status": 401}, "HUB_UNAUTHORIZED", "hub.tokenSecret", False),
        (
            {"kind": "wrong-bytes", "path": "large.safetensors", "after": 100},
            "CONTENT_MISMATCH",
            "sha256",
            True,
        ),
    ],
    ids=["unauthorized", "wrong-bytes"],
)
def test_a_hub_that_refuses_or_lies_fails_the_job_at_once(
    new_release: NewRelease, hub: HubControl, fault: dict[str, object], reason: str, said: str, whole: bool
) -> None:
    release = new_release(f"hub-{fault['kind']}")
    release("install", *FIRST, ONE_MODEL, *WAIT)
    old = release.running_worker()
    hub.add(**(fault if whole else {"kind": "slow", "path": "large.safetensors", "bytes_per_second": RATE}))  # type: ignore[arg-type]
    release("upgrade", *LARGE, ONE_MODEL)
    warm = warmer(release)
    if not whole:
        hub.wait_until_sent(BEGUN)
        hub.clear()
        hub.add(**fault)  # type: ignore[arg-type]

    message = warm.event(reason)

    assert said in message
    assert "increase cacheWarmer.rerun" in message
    warm.wait_for("Failed")
    assert len(warm.pods()) == 1
    assert release.event("Deployment", reason) == message
    assert state(next(pod for pod in release.pods() if pod["metadata"]["name"] == old))["ready"]
    hub.clear()
    release("upgrade", *LARGE, ONE_MODEL, "--set=cacheWarmer.rerun=1", *WAIT)
    assert release.check(release.running_worker(), "--deep").code == 0
    # Wrong content was fetched twice before it was given up.
    assert hub.bytes_sent() <= (3 if whole else 1) * LARGE_BYTES + UNDER_WAY


def test_a_warmer_that_is_killed_for_its_memory_is_replaced_and_goes_on(
    new_release: NewRelease, hub: HubControl
) -> None:
    release = new_release("oom-warm")
    warm = _begin(release, hub, NO_WORKERS, "--set=cacheWarmer.resources.limits.memory=256Mi")
    first = warm.running()

    release.kubectl.says("exec", first, "--", "python", "-c", _USE_MEMORY)

    warm.running(other_than=first)
    ended = state(next(pod for pod in warm.pods() if pod["metadata"]["name"] == first))["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    hub.clear()
    warm.wait_for("Complete")
    # The Lease of a killed process is taken over after a minute.
    assert "taking the Lease" in warm.log()
    assert hub.bytes_sent() <= LARGE_BYTES + UNDER_WAY


def test_a_volume_that_is_full_fails_the_job_and_the_rest_is_fetched_when_there_is_space(
    new_release: NewRelease, hub: HubControl, storage_class: Callable[[str], str]
) -> None:
    release = new_release("full")
    settings = (ONE_MODEL, SHELL, f"--set=cache.storageClassName={storage_class('--fill-class')}")
    release("install", *FIRST, *settings, *WAIT)
    old = release.running_worker()
    _slow_down(hub)
    release("upgrade", *LARGE, *settings)
    hub.wait_until_sent(BEGUN)
    release.kubectl("rollout", "status", f"deployment/{release.name}-shell", "--timeout=90s")

    release.kubectl("exec", f"deploy/{release.name}-shell", "--", "python", "-c", _FILL)

    warm = warmer(release)
    message = warm.event("NO_SPACE")
    assert "cacheWarmer.rerun" in message
    warm.wait_for("Failed")
    assert len(warm.pods()) == 1
    assert release.event("Deployment", "NO_SPACE") == message
    assert state(next(pod for pod in release.pods() if pod["metadata"]["name"] == old))["ready"]
    assert release.check(old).code == 0
    hub.clear()
    release.kubectl("exec", f"deploy/{release.name}-shell", "--", "rm", "/cache/filler")
    release("upgrade", *LARGE, *settings, "--set=cacheWarmer.rerun=1", *WAIT)
    assert release.check(release.running_worker(), "--deep").code == 0
    assert hub.bytes_sent() <= LARGE_BYTES + UNDER_WAY
