"""A warmer's container is suspended past its Lease: another one takes over, and the first publishes nothing."""

from collections.abc import Callable
from typing import Final

from tests.cluster.faults.conftest import LARGE_BYTES, run_in_shell
from tests.cluster.hub_control import HubControl
from tests.cluster.release import LARGE, Release
from tests.cluster.warmers import Warmer, warmer

NO_WORKERS: Final = "--set=worker.replicas=0"
RATE: Final = 1_500_000
# The other one copies what the suspended run had fetched; both may fetch the rest.
UNDER_WAY: Final = 24 << 20


def _container(warm: Warmer, name: str) -> str:
    pod = next(pod for pod in warm.pods() if pod["metadata"]["name"] == name)
    return str(pod["status"]["containerStatuses"][0]["containerID"]).rpartition("/")[2]


def test_a_suspended_warmer_loses_its_lease_and_does_no_harm(
    new_release: Callable[..., Release], hub: HubControl, node_command: Callable[[str], str]
) -> None:
    pause, resume = node_command("--pause-command"), node_command("--resume-command")
    first, second = new_release("frozen"), new_release("other")
    hub.add("slow", path="large.safetensors", bytes_per_second=RATE)
    first("install", *LARGE, NO_WORKERS, "--set=cacheWarmer.shell=true")
    hub.wait_until_sent(32 << 20)
    frozen = warmer(first)
    container = _container(frozen, name := frozen.running())

    run_in_shell(pause, container)
    try:
        hub.clear()
        second("install", *LARGE, NO_WORKERS, f"--set=cache.existingClaim={first.claim}")
        other = warmer(second)
        other.wait_for("Complete", 400)
        assert f"from pod {name}" in other.log(), "it says whom it replaced"
    finally:
        run_in_shell(resume, container)

    frozen.wait_for("Complete", 240)
    assert frozen.exit_codes() == [41, 0]
    assert frozen.messages()[0]["reason"] == "LEASE_LOST"
    shell = f"deploy/{first.name}-shell"
    assert first.kubectl.says("exec", shell, "--", "cache-check", "--deep").code == 0
    assert hub.bytes_sent() <= 2 * LARGE_BYTES + UNDER_WAY
