"""Mistakes of an operator are reported with a remedy: before anything changes if possible, otherwise as Events."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.demo_hub import CATALOGS
from tests.cluster.kubectl import Kubectl, eventually
from tests.cluster.release import FIRST, Release, state

NO_WORKERS: Final = "--set=worker.replicas=0"
NewRelease = Callable[..., Release]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("cache.storageClassName=no-such-class", "no such storage class"),
        ("cache.existingClaim=no-such-claim", "no such claim"),
        ("cache.accessMode=ReadWriteMany", "accessMode"),
        ("worker.replicas=3", "cache.sameNode=true"),
    ],
)
def test_helm_refuses_invalid_values_before_it_creates_anything(
    new_release: NewRelease, kubectl: Kubectl, setting: str, said: str
) -> None:
    release = new_release("refused")
    ended = release.says("install", *FIRST, f"--set={setting}")

    assert ended.code != 0
    assert said in ended.err
    assert kubectl.items("pvc", f"app.kubernetes.io/instance={release.name}") == []


def _generations(release: Release) -> dict[str, int]:
    """Return the generation of each Job of a release by its uid: it does not count changes of the status."""
    jobs = release.kubectl.items("jobs", f"app.kubernetes.io/instance={release.name}")
    return {one["metadata"]["uid"]: one["metadata"]["generation"] for one in jobs}


def test_values_that_the_claim_cannot_follow_are_refused_before_anything_changes(
    new_release: NewRelease,
) -> None:
    release = new_release("follow")
    release("install", *FIRST, NO_WORKERS, "--set=cache.accessModes={ReadWriteOnce}")
    before = _generations(release)
    for setting, said in (
        ("worker.replicas=2", "fill a new ReadWriteMany claim and name it in cache.existingClaim"),
        ("cache.accessModes={ReadWriteMany}", "exists with [ReadWriteOnce], which cannot be changed"),
    ):
        ended = release.says("upgrade", *FIRST, f"--set={setting}")
        assert ended.code != 0
        assert said in ended.err
    assert _generations(release) == before


def test_a_missing_secret_is_named_with_the_command_that_creates_it(new_release: NewRelease) -> None:
    release = new_release("token")
    release("install", *FIRST, NO_WORKERS, "--set=hub.tokenSecret=not-there")

    for kind in ("Job", "Deployment"):
        assert "create secret generic not-there" in release.event(kind, "HUB_UNAUTHORIZED", 30)
    assert release.last_words()["reason"] == "HUB_UNAUTHORIZED"
    _fails_at_once(release)


def test_an_address_that_is_no_hub_is_reported_and_retried(new_release: NewRelease) -> None:
    release = new_release("wrong")
    release("install", *FIRST, NO_WORKERS, "--set=hub.endpoint=http://demo-hub:9")

    message = release.event("Job", "HUB_UNREACHABLE", 60)
    assert "demo-hub:9" in message
    assert "tries again" in message


def test_a_catalog_with_a_branch_fails_the_job_and_leaves_the_worker_running(
    new_release: NewRelease, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text((CATALOGS / "second.yaml").read_text("utf-8").replace("2" * 40, "main"), "utf-8")
    release = new_release("branch")
    release("install", f"--set-file=catalog={catalog}")

    for kind in ("Job", "Deployment"):
        assert "revision" in release.event(kind, "CATALOG_INVALID", 30)
    _fails_at_once(release)
    name = release.running_worker()
    assert release.check(name).code == 3
    assert (state(release.worker())["ready"], state(release.worker())["restartCount"]) == (False, 0)


def test_a_claim_that_is_too_small_is_reported_in_bytes(
    new_release: NewRelease, storage_class: Callable[[str], str]
) -> None:
    release = new_release("small")
    release("install", *FIRST, NO_WORKERS, f"--set=cache.storageClassName={storage_class('--small-class')}")

    assert "MB" in release.event("Job", "NO_SPACE", 60)
    _fails_at_once(release)


def test_a_volume_that_only_root_may_write_is_reported_with_remedies(
    new_release: NewRelease, storage_class: Callable[[str], str]
) -> None:
    release = new_release("rooted")
    kind = storage_class("--root-owned-class")
    release(
        "install",
        *FIRST,
        NO_WORKERS,
        f"--set=cache.storageClassName={kind}",
        "--set=cache.accessModes={ReadWriteMany}",
    )

    assert "fsGroup" in release.event("Job", "NO_PERMISSION", 60)
    _fails_at_once(release)


def _fails_at_once(release: Release) -> None:
    """Assert that the pod failure policy fails the Job after one pod."""

    def look() -> list[str]:
        found = release.kubectl.items("jobs", f"app.kubernetes.io/instance={release.name}")
        conditions = [one for job in found for one in job["status"].get("conditions", [])]
        return [one["reason"] for one in conditions if one["type"] == "Failed"]

    assert eventually("a Job that failed", look, 30) == ["PodFailurePolicy"]
    assert len(release.pods("warmer")) == 1
