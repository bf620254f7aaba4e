"""A HorizontalPodAutoscaler on CPU adds workers under load and removes them; upgrades keep what it or a user has set.

Run by `make test-alerts`. Needs metrics-server.
"""

from collections.abc import Callable
from typing import Any, Final

import pytest

from qda_worker.client import Client, Settings
from tests.cluster.kubectl import eventually
from tests.cluster.release import FIRST, Release
from tests.cluster.watched import Load

SHARED: Final = ("--set=cache.accessModes={ReadWriteMany}", "--set=worker.models={german-sentiment}")
# The defaults, except for a request that also a busy node can give and a worker under load exceeds, and for removing
# workers after 60 s instead of 300 s without load. With less it removes new workers before they are ready.
SCALED: Final = (
    "--set=worker.resources.requests.cpu=100m",
    "--set=worker.resources.requests.memory=400Mi",
    "--set=worker.autoscaling.enabled=true",
    "--set=worker.autoscaling.maxReplicas=3",
    "--set=worker.autoscaling.behavior.scaleDown.stabilizationWindowSeconds=60",
)


def _replicas(release: Release) -> int:
    return int(release.kubectl.get("deployment", release.name)["spec"]["replicas"])


def _allowed_disruptions(release: Release) -> int:
    return int(release.kubectl.get("pdb", release.name)["status"]["disruptionsAllowed"])


def _scaled(release: Release) -> dict[str, Any]:
    status = release.kubectl.get("hpa", release.name)["status"]
    assert isinstance(status, dict)
    return status


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_an_autoscaler_adds_workers_under_load_and_removes_them(
    new_release: Callable[..., Release], helm: str
) -> None:
    release = new_release(f"scaled-{helm}", helm)
    kubectl = release.kubectl
    if kubectl.says("get", "--raw=/apis/metrics.k8s.io/v1beta1/nodes").code:
        pytest.skip("the cluster has no metrics-server")
    release("install", *FIRST, *SHARED, *SCALED, "--wait", "--timeout=230s")
    assert kubectl.get("pdb", release.name)["spec"]["maxUnavailable"] == 1
    eventually("a measured use of CPU", lambda: _scaled(release).get("currentMetrics"), 300)
    assert _replicas(release) == 1

    service = kubectl.get("service", release.name)["spec"]
    # They differ, because equal texts are computed once.
    texts = [f"{number}. {'Das ist gut, und der Tag war schön. ' * 8}" for number in range(200)]

    def call(client: Client) -> None:
        client.sentiment(texts)

    with Load(Settings(f"{service['clusterIP']}:{service['ports'][0]['port']}"), call, 3):
        eventually("more workers", lambda: _replicas(release) > 1, 300)
        before = _replicas(release)
        release("upgrade", *FIRST, *SHARED, *SCALED, "--set=worker.annotations.upgraded=yes")
        assert _replicas(release) >= before, "the autoscaler owns the number"
        eventually("two workers that are ready", lambda: _ready(release) >= 2, 300)
        eventually("one worker may be evicted", lambda: _allowed_disruptions(release) == 1)
    eventually("one worker again", lambda: _replicas(release) == 1, 300)


def _ready(release: Release) -> int:
    return int(release.kubectl.get("deployment", release.name)["status"].get("readyReplicas", 0))


@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_an_upgrade_keeps_the_number_that_a_user_has_set(
    new_release: Callable[..., Release], helm: str
) -> None:
    release = new_release(f"manual-{helm}", helm)
    unset = ("--set=worker.replicas=null", *SHARED)
    release("install", *FIRST, *unset)
    release.kubectl("scale", f"deployment/{release.name}", "--replicas=2")

    release("upgrade", *FIRST, *unset, "--set=worker.annotations.upgraded=yes")

    assert _replicas(release) == 2
    assert release.kubectl.get("deployment", release.name)["metadata"]["annotations"]["upgraded"] == "yes"
