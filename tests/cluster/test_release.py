"""A release from an empty claim to the next installation, with Helm 3 and with Helm 4."""

import shutil
from collections.abc import Callable

import pytest

from tests.cluster.kubectl import Kubectl
from tests.cluster.release import FIRST, SECOND, WAIT, Release

Seen = tuple[int, set[str], dict[str, str]]


def _seen(release: Release) -> Seen:
    """Return what an upgrade without changes must not change: the Deployment's generation, pods, Jobs."""
    deployment = release.kubectl.get("deployment", release.name)
    return (
        deployment["metadata"]["generation"],
        {pod["metadata"]["uid"] for pod in release.pods()},
        release.jobs(),
    )


@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_install_upgrade_rollback_uninstall_and_install_again(
    new_release: Callable[..., Release], hub_requests: Callable[[], int], kubectl: Kubectl, helm: str
) -> None:
    """One test, because each step needs the state of the one before it."""
    if shutil.which(helm) is None:
        pytest.skip(f"{helm} is not installed")
    release = new_release(f"life-{helm}", helm)

    notes = release("install", *FIRST, *WAIT)
    for command in ("cache-check", "describe job/", "cacheWarmer.rerun=1", "port-forward"):
        assert command in notes
    assert release.is_ready()
    assert release.check(release.running_worker()).code == 0
    assert release.last_words()["reason"] == "OK"
    assert "4 models" in release.event("Job", "OK")
    assert "4 models" in release.event("Deployment", "OK")

    assert "the cache is complete, and every model serves" in release("test", "--logs", "--timeout=90s")

    before = _seen(release)
    release("upgrade", *FIRST, *WAIT)
    assert _seen(release) == before, "an upgrade that changes nothing changed something"

    first_jobs = release.jobs()
    release("upgrade", *SECOND, *WAIT)
    assert release.jobs().keys() != first_jobs.keys()
    assert "222222222222" in release.check(release.running_worker()).out

    asked = hub_requests()
    release("rollback", "1", *WAIT)
    assert release.is_ready()
    assert "222222222222" not in release.check(release.running_worker()).out
    assert hub_requests() == asked, "a rollback asked the hub"

    release("uninstall", "--wait", "--timeout=90s")
    assert kubectl.get("pvc", release.claim)["status"]["phase"] == "Bound"
    release("install", *FIRST, *WAIT)
    assert release.is_ready()
    assert hub_requests() == asked, "an install on a full claim asked the hub"
