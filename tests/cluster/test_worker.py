"""A worker on the cluster: ready when its cache is complete, callable from another pod, unable to write."""

import json
from typing import Any, Final

from tests.cluster.demo_hub import RESTRICTED, RESTRICTED_CONTAINER
from tests.cluster.kubectl import Kubectl, eventually
from tests.cluster.release import FIRST, WAIT, Release, state

EACH_SERVICE: Final = """
import json, sys
from qda_worker.client import Client
texts = ["Das ist gut.", "Anna wohnt in Berlin."]
with Client(sys.argv[1]) as client:
    client.wait_ready(60)
    found = {
        "health": str(client.health("qda.v1.EmbeddingService")),
        "sentiment": len(list(client.sentiment(texts))),
        "entities": len(list(client.entities(texts))),
        "embed": [len(one.dense) for one in client.embed(texts)],
        "pairs": len(list(client.score_pairs([(texts[0], texts[1])]))),
        "paraphrases": client.find_paraphrases(texts + texts[:1], best=1).provenance.model,
        "models": len(client.models().models),
        "cache": str(client.cache_status()),
    }
print(json.dumps(found))
"""

CPU_BUDGET: Final = """
import dataclasses, json, os
from qda_worker.cpu import cpu_budget
print(json.dumps(dataclasses.asdict(cpu_budget(os.environ))))
"""

FIRST_BLOB: Final = """
import pathlib
link = next(pathlib.Path("/cache/huggingface/hub").glob("models--*bert/snapshots/*/model.safetensors"))
link.resolve().unlink()
"""


def _pod(name: str, image: str, command: list[str], **spec: Any) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        "command": command,
        "resources": spec.get("resources", {}),
        "env": [{"name": "HOME", "value": "/tmp"}],
        "securityContext": RESTRICTED_CONTAINER,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            *([{"name": "cache", "mountPath": "/cache"}] if "claim" in spec else []),
        ],
    }
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    if "claim" in spec:
        volumes.append({"name": "cache", "persistentVolumeClaim": {"claimName": spec["claim"]}})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {**RESTRICTED, "fsGroup": 65532},
            "containers": [container],
            "volumes": volumes,
        },
    }


def _run_to_its_end(kubectl: Kubectl, pod: dict[str, Any]) -> str:
    """Run a pod, and return its output."""
    name = pod["metadata"]["name"]
    kubectl.apply(pod)
    try:
        phase = eventually(f"the end of {name}", lambda: _ended(kubectl, name), 150)
        said = kubectl("logs", name)
        assert phase == "Succeeded", said
        return said
    finally:
        kubectl.says("delete", "pod", name, "--wait=false")


def _ended(kubectl: Kubectl, name: str) -> str | None:
    phase = str(kubectl.get("pod", name)["status"].get("phase"))
    return phase if phase in {"Succeeded", "Failed"} else None


def test_a_worker_that_started_before_the_warm_becomes_ready(
    shared: Release, around_the_warm: dict[str, dict[str, object]]
) -> None:
    before, after = around_the_warm["before"], around_the_warm["after"]

    assert (before["ready"], before["restarts"], before["check"]) == (False, 0, 10)
    assert after == {**before, "ready": True, "check": 0}, "the same pod, never restarted"


def test_each_service_answers_another_pod_by_the_headless_name(
    shared: Release, kubectl: Kubectl, worker_image: str
) -> None:
    target = f"dns:///{shared.name}-headless:50051"
    found = json.loads(
        _run_to_its_end(kubectl, _pod("caller", worker_image, ["python", "-c", EACH_SERVICE, target]))
    )

    assert found["sentiment"] == found["entities"] == 2
    assert (found["pairs"], found["models"]) == (1, 4)
    assert all(length > 0 for length in found["embed"])
    assert found["paraphrases"] == "multilingual-paraphrase"
    assert "serving" in found["health"].lower()


def test_the_number_of_threads_follows_limit_or_request(
    shared: Release, kubectl: Kubectl, worker_image: str
) -> None:
    log = kubectl("logs", shared.running_worker(), "--container=worker").splitlines()
    (by_request,) = [json.loads(line) for line in log if '"threads.set"' in line]
    assert (by_request["threads"], by_request["cpu_request"], by_request["cpu_quota"]) == (1, 0.25, None)

    pod = _pod("limited", worker_image, ["python", "-c", CPU_BUDGET], resources={"limits": {"cpu": "500m"}})
    limited = json.loads(_run_to_its_end(kubectl, pod))
    assert (limited["threads"], limited["quota"]) == (1, 0.5)


def test_a_worker_cannot_write_to_the_cache_or_its_root(shared: Release, kubectl: Kubectl) -> None:
    name = shared.running_worker()
    for path in ("/cache/x", "/cache/huggingface/hub/x", "/app/x"):
        said = kubectl.says("exec", name, "--container=worker", "--", "touch", path)
        assert said.code != 0
        assert "Read-only file system" in said.err


def test_a_worker_has_no_token_and_no_access_to_the_kubernetes_api(shared: Release, kubectl: Kubectl) -> None:
    said = kubectl.says("exec", shared.running_worker(), "--", "ls", "/var/run/secrets/kubernetes.io")
    assert "No such file" in said.err


def test_after_a_blob_is_deleted_a_new_worker_is_unready_until_the_next_warm(
    shared: Release, kubectl: Kubectl, worker_image: str
) -> None:
    _run_to_its_end(kubectl, _pod("vandal", worker_image, ["python", "-c", FIRST_BLOB], claim=shared.claim))
    kubectl("delete", "pod", shared.running_worker(), "--wait=true", "--timeout=60s")
    name = shared.running_worker()
    check = shared.check(name)

    assert check.code == 10
    assert "model.safetensors" in check.out + check.err
    assert f"helm upgrade {shared.name} CHART" in check.out, "what its reader can do; here nothing can write"
    assert not shared.is_ready()

    shared("upgrade", *FIRST, "--set=cacheWarmer.rerun=1", *WAIT)

    assert shared.check(name).code == 0, "the same pod"
    assert state(shared.worker())["restartCount"] == 0
    shared("upgrade", *FIRST, *WAIT)
