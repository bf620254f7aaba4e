"""The node of two workers is drained: their budget keeps one until the other has a node."""

from collections.abc import Callable
from typing import Final

from tests.cluster.caller import Caller
from tests.cluster.kubectl import Said, eventually
from tests.cluster.release import FIRST, WAIT, Release, state

ONE_MODEL: Final = "--set=worker.models={german-sentiment}"
TWO: Final = "--set=worker.replicas=2"


def test_of_two_workers_one_stays_until_the_other_has_a_node(
    new_release: Callable[..., Release],
    drain: Callable[[Release, str], Said],
    new_caller: Callable[[str], Caller],
) -> None:
    release = new_release("drain-two")
    settings = (ONE_MODEL, TWO, "--set=cache.accessModes={ReadWriteMany}")
    release("install", *FIRST, *settings, *WAIT)
    caller = new_caller(f"dns:///{release.name}-headless:50051")

    node = release.worker()["spec"]["nodeName"]

    drained = drain(release, "20s")

    if len(release.kubectl.get("nodes")["items"]) == 1:  # the replacement of the first finds no node
        assert drained.code != 0
        assert "violate the pod's disruption budget" in drained.err
    else:
        assert drained.code == 0
    assert any(state(pod).get("ready") for pod in release.pods())
    assert caller.calls().failed == ()
    release("upgrade", *FIRST, *settings, "--set=worker.podDisruptionBudget.enabled=false")
    assert drain(release, "90s").code == 0
    release.kubectl("uncordon", node)
    eventually(
        "two workers that are ready",
        lambda: sum(bool(state(pod).get("ready")) for pod in release.pods()) == 2,
    )
