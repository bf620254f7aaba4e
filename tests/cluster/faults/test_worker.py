"""What a worker serves is damaged, or it is killed: it serves on or comes back, and its state says what to do."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.cluster.caller import Caller
from tests.cluster.kubectl import Said, eventually
from tests.cluster.release import FIRST, WAIT, Release, state

NewRelease = Callable[..., Release]
NewCaller = Callable[[str], Caller]
ONE_MODEL: Final = "--set=worker.models={german-sentiment}"
SHELL: Final = "--set=cacheWarmer.shell=true"
# Flips one bit in the middle of the weights, in place, as a failing disk does.
_FLIP: Final = """
import pathlib
(link,) = pathlib.Path("/cache/huggingface/hub").glob("models--*bert/snapshots/*/model.safetensors")
path = link.resolve()
path.chmod(0o644)
with path.open("r+b") as file:
    file.seek(path.stat().st_size // 2)
    byte = file.read(1)[0]
    file.seek(-1, 1)
    file.write(bytes([byte ^ 1]))
"""
_EMPTY: Final = "find /cache -mindepth 1 -delete"
# Processes that are smaller than the worker and together exceed the limit, so that the kernel kills the worker.
_USE_MEMORY: Final = """
import subprocess, sys
hog = "x = bytearray(100 << 20); import time; time.sleep(60)"
for each in [subprocess.Popen([sys.executable, "-c", hog]) for _ in range(12)]:
    each.wait()
"""
# Sends a signal to the process of the spaCy model, and calls the worker.
_SIGNAL: Final = """
import json, os, pathlib, sys, time
from qda_worker.client import Client

def is_child(folder):
    status = (folder / "stat").read_text()
    return status.rpartition(")")[2].split()[1] == "1" and b"resource_tracker" not in (folder / "cmdline").read_bytes()

children = [int(path.name) for path in pathlib.Path("/proc").glob("[0-9]*") if is_child(path)]
for child in children:
    os.kill(child, int(sys.argv[1]))
start = time.monotonic()
with Client("127.0.0.1:50051") as client:
    answers = client.entities(["Anna wohnt in Berlin."] * 3)
    print(json.dumps({"children": children, "ok": [one.ok for one in answers], "seconds": time.monotonic() - start}))
"""


def _in_shell(release: Release, *command: str) -> Said:
    return release.kubectl.says("exec", f"deploy/{release.name}-shell", "--", *command)


def _status(release: Release, pod: str) -> dict[str, Any]:
    """Return what the worker says about its cache over gRPC."""
    said = release.kubectl.says(
        "exec", pod, "--", "qda-client", "cache", "--format", "json", "--target", "127.0.0.1:50051"
    )
    found = json.loads(said.out)
    assert isinstance(found, dict), said
    return found


def _headless(release: Release) -> str:
    return f"dns:///{release.name}-headless:50051"


def test_a_flipped_bit_is_found_and_repaired_while_the_worker_serves(
    new_release: NewRelease, new_caller: NewCaller
) -> None:
    release = new_release("flipped")
    release("install", *FIRST, ONE_MODEL, SHELL, *WAIT)
    worker = release.running_worker()
    caller = new_caller(_headless(release))

    assert _in_shell(release, "python", "-c", _FLIP).code == 0

    assert release.check(worker).code == 0, "the size is right"
    deep = release.check(worker, "--deep")
    assert deep.code == 11
    assert "model.safetensors" in deep.out
    assert "cache-warmer repair" in deep.out + deep.err
    assert _in_shell(release, "cache-warmer", "repair").code == 0
    assert release.check(worker, "--deep").code == 0
    eventually("restart needed", lambda: _status(release, worker)["restart_needed"])
    release.kubectl("rollout", "restart", f"deployment/{release.name}")
    release.kubectl("rollout", "status", f"deployment/{release.name}", "--timeout=120s")
    assert not _status(release, release.running_worker())["restart_needed"]
    assert state(release.worker())["restartCount"] == 0
    assert caller.calls().failed == ()


def test_an_emptied_claim_is_reported_and_filled_again(
    new_release: NewRelease, new_caller: NewCaller
) -> None:
    release = new_release("emptied")
    release("install", *FIRST, ONE_MODEL, SHELL, *WAIT)
    worker = release.running_worker()
    caller = new_caller(_headless(release))

    assert _in_shell(release, "sh", "-c", _EMPTY).code == 0

    check = release.check(worker)
    assert check.code == 10
    assert "cacheWarmer.rerun" in check.out + check.err
    assert release.is_ready(), "what is loaded stays served"
    release(
        "upgrade",
        *FIRST,
        ONE_MODEL,
        SHELL,
        "--set=cacheWarmer.rerun=1",
        "--wait",
        "--wait-for-jobs",
        "--timeout=220s",
    )
    assert release.check(worker, "--deep").code == 0, "the same pod"
    assert state(release.worker())["restartCount"] == 0
    assert caller.calls().failed == ()


def test_a_worker_that_exceeds_its_memory_while_it_loads_leaves_the_old_one_serving(
    new_release: NewRelease, new_caller: NewCaller
) -> None:
    release = new_release("oom-load")
    release("install", *FIRST, ONE_MODEL, *WAIT)
    old = release.running_worker()
    caller = new_caller(_headless(release))

    release(
        "upgrade",
        *FIRST,
        ONE_MODEL,
        "--set=worker.resources.requests.memory=64Mi",
        "--set=worker.resources.limits.memory=120Mi",
    )

    def killed() -> bool:
        return any(
            state(pod).get("lastState", {}).get("terminated", {}).get("reason") == "OOMKilled"
            for pod in release.pods()
            if pod["metadata"]["name"] != old
        )

    eventually("a new worker that is OOMKilled", killed, 120)
    assert state(next(pod for pod in release.pods() if pod["metadata"]["name"] == old))["ready"]
    release("upgrade", *FIRST, ONE_MODEL, *WAIT)
    assert [pod["metadata"]["name"] for pod in release.pods()] == [old], (
        "the values are those of the old worker"
    )
    assert caller.calls().failed == ()


def test_a_serving_worker_that_is_killed_for_its_memory_comes_back(new_release: NewRelease) -> None:
    release = new_release("oom-serve")
    limits = "--set=worker.resources.limits.memory=1200Mi"
    release("install", *FIRST, "--set=worker.models={german-sentiment,german-ner}", limits, *WAIT)
    worker = release.running_worker()

    release.kubectl.says("exec", worker, "--", "python", "-c", _USE_MEMORY)

    def restarted() -> bool:
        seen = state(release.worker())
        return bool(seen["restartCount"]) and bool(seen["ready"])

    eventually("a worker that is ready again", restarted, 120)
    last = state(release.worker())["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)
    assert release.running_worker() == worker


@pytest.mark.parametrize(("number", "name"), [(9, "killed"), (19, "stopped")])
def test_the_process_of_a_spacy_model_is_replaced_and_no_call_fails(
    new_release: NewRelease, number: int, name: str
) -> None:
    release = new_release(f"spacy-{name}")
    release(
        "install",
        *FIRST,
        "--set=worker.models={german-ner}",
        "--set=worker.extraEnv[0].name=QDA_HANG_TIMEOUT",
        "--set=worker.extraEnv[0].value=5s",
        *WAIT,
    )
    worker = release.running_worker()

    found = json.loads(release.kubectl("exec", worker, "--", "python", "-c", _SIGNAL, str(number)))

    assert len(found["children"]) == 1
    assert found["ok"] == [True] * 3
    assert (state(release.worker())["ready"], state(release.worker())["restartCount"]) == (True, 0)
