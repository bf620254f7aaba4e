"""Two upgrades at once: Helm refuses the second, a newer catalog replaces a warm that runs, and nothing is lost."""

import signal
import subprocess
from collections.abc import Callable
from typing import Final

from tests.cluster.caller import Caller
from tests.cluster.faults.conftest import LARGE_BYTES
from tests.cluster.hub_control import HubControl
from tests.cluster.kubectl import eventually
from tests.cluster.release import CHART, FIRST, LARGE, SECOND, VALUES, WAIT, Release, state
from tests.cluster.warmers import warmer

NewRelease = Callable[..., Release]
NewCaller = Callable[[str], Caller]
ONE_MODEL: Final = "--set=worker.models={german-sentiment}"
NO_WORKERS: Final = "--set=worker.replicas=0"
RATE: Final = 1_500_000
BEGUN: Final = 64 << 20
UNDER_WAY: Final = 24 << 20


def _start_upgrade(release: Release, *options: str) -> "subprocess.Popen[str]":
    command = [
        release.helm,
        *release.kubectl.options(),
        "upgrade",
        release.name,
        str(CHART),
        f"--values={VALUES}",
    ]
    return subprocess.Popen(
        [*command, *release.images, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_second_upgrade_is_refused_and_one_that_was_killed_is_rolled_back(
    new_release: NewRelease, hub: HubControl, new_caller: NewCaller
) -> None:
    release = new_release("at-once")
    release("install", *FIRST, ONE_MODEL, *WAIT)
    old = release.running_worker()
    caller = new_caller(f"dns:///{release.name}-headless:50051")
    hub.add("slow", path="large.safetensors", bytes_per_second=RATE)
    first = _start_upgrade(release, *LARGE, ONE_MODEL, "--wait", "--timeout=200s")
    try:
        hub.wait_until_sent(BEGUN)
        second = release.says("upgrade", *SECOND, ONE_MODEL)
        assert second.code != 0
        assert "another operation (install/upgrade/rollback) is in progress" in second.err
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()

    assert release.says("upgrade", *LARGE, ONE_MODEL).code != 0, "the killed one still counts as running"
    release("rollback", "1", *WAIT)
    assert [pod["metadata"]["name"] for pod in release.pods()] == [old]
    hub.clear()
    release("upgrade", *LARGE, ONE_MODEL, *WAIT)
    assert release.check(release.running_worker(), "--deep").code == 0
    assert hub.bytes_sent() <= LARGE_BYTES + UNDER_WAY
    assert caller.calls().failed == ()


def test_a_newer_catalog_ends_the_warm_that_runs_which_goes_on_later(
    new_release: NewRelease, hub: HubControl
) -> None:
    release = new_release("overtaken")
    release("install", *FIRST, ONE_MODEL, *WAIT)
    hub.add("slow", path="large.safetensors", bytes_per_second=RATE)
    release("upgrade", *LARGE, ONE_MODEL)
    hub.wait_until_sent(BEGUN)

    release("upgrade", *SECOND, ONE_MODEL, *WAIT)

    assert "222222222222" in release.check(release.running_worker()).out
    hub.clear()
    release("upgrade", *LARGE, ONE_MODEL, *WAIT)
    assert release.check(release.running_worker(), "--deep").code == 0
    assert hub.bytes_sent() <= LARGE_BYTES + UNDER_WAY


def test_two_releases_that_warm_one_claim_at_once_take_turns(
    new_release: NewRelease, hub: HubControl
) -> None:
    first, second = new_release("turn-one"), new_release("turn-two")
    hub.add("slow", path="large.safetensors", bytes_per_second=RATE)
    first("install", *LARGE, ONE_MODEL)
    hub.wait_until_sent(BEGUN)

    second("install", *SECOND, ONE_MODEL, f"--set=cache.existingClaim={first.claim}")

    waiting = warmer(second)
    waiting.running()
    eventually("a warmer that waits", lambda: "waiting for another warmer: pod" in waiting.log())
    warmer(first).wait_for("Complete")
    waiting.wait_for("Complete")
    eventually("both workers", lambda: first.is_ready() and second.is_ready(), 240)
    assert hub.bytes_sent() == LARGE_BYTES
    for release in (first, second):
        worker = release.running_worker()
        assert release.check(worker, "--deep").code == 0
        assert state(release.worker())["restartCount"] == 0
