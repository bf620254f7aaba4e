"""The node of the only worker is drained: the worker waits for the uncordon.

The node is cordoned meanwhile, so this needs a permission: QDA_TEST_DRAIN=1.
"""

from collections.abc import Callable
from typing import Final

from tests.cluster.kubectl import Said, eventually
from tests.cluster.release import FIRST, WAIT, Release

ONE_MODEL: Final = "--set=worker.models={german-sentiment}"


def test_a_drained_worker_of_a_release_on_one_node_is_back_after_the_uncordon(
    new_release: Callable[..., Release], drain: Callable[[Release, str], Said]
) -> None:
    release = new_release("drain-one")
    release("install", *FIRST, ONE_MODEL, "--set=cache.accessModes={ReadWriteOnce}", *WAIT)
    old = release.running_worker()
    node = release.worker()["spec"]["nodeName"]

    assert drain(release, "90s").code == 0

    assert not release.kubectl.items("poddisruptionbudgets", f"app.kubernetes.io/instance={release.name}")
    new = release.worker()
    assert new["metadata"]["name"] != old
    if len(release.kubectl.get("nodes")["items"]) == 1:
        (condition,) = [one for one in new["status"]["conditions"] if one["type"] == "PodScheduled"]
        assert "unschedulable" in condition["message"]
    release.kubectl("uncordon", node)
    eventually("a worker that is ready", release.is_ready)
