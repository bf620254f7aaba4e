"""What goes wrong in the life of a release is told where operators look, and the documented command mends it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.cluster.demo_hub import CATALOGS
from tests.cluster.kubectl import Kubectl, eventually
from tests.cluster.release import CHART, FIRST, VALUES, WAIT, Release, state

SMALL: Final = ("--set=worker.resources.limits.memory=200Mi", "--set=worker.resources.requests.memory=100Mi")


def _pod_event(kubectl: Kubectl, pod: str, words: str, seconds: float) -> str:
    def look() -> str | None:
        events = kubectl.get("events", f"--field-selector=involvedObject.name={pod}")["items"]
        return next((event["message"] for event in events if words in event["message"]), None)

    return eventually(f"an Event of {pod} with {words!r}", look, seconds)


def _other_worker(release: Release, former: str) -> str:
    def look() -> str | None:
        names = [pod["metadata"]["name"] for pod in release.pods() if state(pod)]
        return next((name for name in names if name != former), None)

    return eventually("the worker of the upgrade", look)


@pytest.mark.timeout(300)
def test_a_worker_that_is_killed_for_lack_of_memory_is_told_everywhere(
    shared: Release, kubectl: Kubectl
) -> None:
    former = shared.running_worker()
    shared("upgrade", *FIRST, *SMALL)
    pod = _other_worker(shared, former)

    told = _pod_event(kubectl, pod, "the container was killed", 150)
    assert "Startup probe failed" in told
    assert "increase worker.resources.limits.memory" in told
    last = state(kubectl.get("pod", pod))["lastState"]["terminated"]
    assert last["reason"] == "OOMKilled"
    assert "of 200Mi of memory" in last["message"]
    assert shared.check(former).code == 0, "the former worker serves on"
    assert state(kubectl.get("pod", former))["ready"]

    notes = shared("upgrade", *FIRST, *WAIT)
    assert f"killed worker in pod {pod} for lack of memory" in notes
    assert shared.is_ready()


@pytest.mark.timeout(180)
def test_a_failed_warm_is_told_by_the_new_worker_and_the_old_one_serves_on(
    shared: Release, kubectl: Kubectl, tmp_path: Path
) -> None:
    catalog = yaml.safe_load((CATALOGS / "catalog.yaml").read_text("utf-8"))
    catalog["models"][0]["huggingface"]["revision"] = "9" * 40
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(catalog, sort_keys=False), "utf-8")
    former = shared.running_worker()

    shared("upgrade", f"--set-file=catalog={wrong}")
    assert "Remedy" in shared.event("Deployment", "HUB_NOT_FOUND")
    pod = _other_worker(shared, former)
    assert "CACHE_INCOMPLETE" in _pod_event(kubectl, pod, "the last warm failed with HUB_NOT_FOUND", 60)
    assert "note: the last warm failed" in shared.check(pod).out
    assert f"note: checked in pod {pod}" in shared.check(pod).out
    assert state(kubectl.get("pod", former))["ready"]
    assert shared.check(former).code == 0

    shared("rollback", *WAIT)
    assert shared.is_ready()
    assert shared.running_worker() == former


def test_a_second_release_on_the_same_claim_downloads_nothing_and_leaves_it(
    shared: Release, new_release: Callable[..., Release], hub_requests: Callable[[], int], kubectl: Kubectl
) -> None:
    asked = hub_requests()
    second = new_release("second")
    second(
        "install",
        *FIRST,
        f"--set=cache.existingClaim={shared.claim}",
        "--set=worker.models={german-ner}",
        *WAIT,
    )
    assert second.last_words()["reason"] == "OK"
    assert second.is_ready()
    assert hub_requests() == asked

    second("uninstall", "--wait", "--timeout=60s")
    assert kubectl.get("pvc", shared.claim)["status"]["phase"] == "Bound"
    assert shared.check(shared.running_worker()).code == 0


@pytest.mark.parametrize("helm", ["helm", "helm4"])
def test_a_second_upgrade_is_refused_and_a_killed_one_is_rolled_back(
    new_release: Callable[..., Release], kubectl: Kubectl, images: tuple[str, ...], helm: str
) -> None:
    if shutil.which(helm) is None:
        pytest.skip(f"{helm} is not installed")
    release = new_release(f"twice-{helm}", helm)
    idle = (*FIRST, "--set=worker.replicas=0")
    release("install", *idle, *WAIT)
    never_ready = ["--set=worker.image.tag=does-not-exist", "--set=worker.replicas=1", *FIRST, *WAIT]
    command = [helm, *kubectl.options(), "upgrade", release.name, str(CHART), f"--values={VALUES}", *images]
    with subprocess.Popen(
        [*command, *never_ready], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        status = ("--output=json",)
        eventually(
            "an upgrade that waits",
            lambda: json.loads(release("status", *status))["info"]["status"] == "pending-upgrade",
        )
        second = release.says("upgrade", *idle)
        first.kill()
    assert second.code != 0
    assert "another operation" in second.err

    release("rollback", *WAIT)
    assert json.loads(release("status", *status))["info"]["status"] == "deployed"
    assert release("upgrade", *idle, *WAIT)
