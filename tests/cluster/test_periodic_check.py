"""The periodic deep check on a serving release: a flipped byte is found, told, and mended, and the worker follows."""

import json
from collections.abc import Callable
from typing import Any, Final

from tests.cluster.kubectl import Kubectl, eventually
from tests.cluster.release import FIRST, WAIT, Release

# In place, as a failing disk does. The worker maps the same file.
FLIP: Final = """
import glob, os
(path,) = glob.glob("/cache/huggingface/hub/models--*german-sentiment*/snapshots/*/model.safetensors")
real = os.path.realpath(path)
os.chmod(real, 0o644)
with open(real, "r+b") as file:
    file.seek(os.path.getsize(real) // 2)
    byte = file.read(1)[0]
    file.seek(-1, 1)
    file.write(bytes([byte ^ 1]))
"""
METRICS: Final = """
import urllib.request as u
print(u.urlopen("http://127.0.0.1:9464/metrics").read().decode())
"""
CHECK: Final = (
    "--set=cacheWarmer.shell=true",
    "--set=cacheWarmer.resources.requests.cpu=50m",
    "--set=cacheWarmer.periodicCheck.enabled=true",
    "--set=cacheWarmer.periodicCheck.resources.requests.cpu=50m",
    "--set=worker.readiness=verified",
    "--set=worker.extraEnv[0].name=QDA_CHECK_INTERVAL",
    "--set-string=worker.extraEnv[0].value=2s",
)


def _run_check(release: Release, name: str) -> dict[str, Any]:
    """Run the CronJob's Job now, and return the termination message of its pod."""
    release.kubectl("create", "job", name, f"--from=cronjob/{release.name}-check")

    def look() -> str | None:
        for pod in release.kubectl.items("pods", f"batch.kubernetes.io/job-name={name}"):
            for status in pod["status"].get("containerStatuses", []):
                if message := status["state"].get("terminated", {}).get("message"):
                    return str(message)
        return None

    said = json.loads(eventually(f"the end of {name}", look, 90.0))
    assert isinstance(said, dict)
    return said


def _metric(release: Release, name: str) -> list[str]:
    text = release.kubectl(
        "exec", release.running_worker(), "--container=worker", "--", "python", "-c", METRICS
    )
    return [line.removeprefix(name) for line in text.splitlines() if line.startswith(name)]


def test_a_flipped_byte_under_a_serving_worker_is_found_told_and_mended(
    new_release: Callable[..., Release], kubectl: Kubectl
) -> None:
    release = new_release("check")
    release("install", *FIRST, *CHECK, *WAIT)
    pod = release.running_worker()

    assert _run_check(release, "well")["reason"] == "OK"
    assert "every file intact" in release.event("CronJob", "OK")
    assert eventually("the result", lambda: _metric(release, "qda_cache_deep_check_result")) == [
        '{reason="OK"} 1.0'
    ]

    kubectl("exec", f"deploy/{release.name}-shell", "--", "python", "-c", FLIP)
    found = _run_check(release, "bad")
    assert found["reason"] == "CACHE_CORRUPT", found
    assert "found 1 bad file of german-sentiment" in found["message"]
    for kind in ("CronJob", "Deployment"):
        assert "cache-warmer repair" in release.event(kind, "CACHE_CORRUPT")
    eventually("an unready worker", lambda: not release.is_ready() or None)
    labels = '{model="german-sentiment",reason="CACHE_CORRUPT"}'
    assert _metric(release, "qda_cache_deep_check_bad_files") == [f"{labels} 1.0"]
    assert _metric(release, 'qda_cache_model_damaged{model="german-sentiment"}') == [" 1.0"]
    check = release.check(pod)
    assert check.code == 0
    assert "found 1 file bad" in check.out
    failed = ("get", "job", "bad", "--output=jsonpath={.status.failed}")
    assert eventually("a failed Job", lambda: kubectl.says(*failed).out) == "1", "it is not retried"

    release("upgrade", *FIRST, *CHECK, "--set=cacheWarmer.periodicCheck.repair=true")
    mended = _run_check(release, "repaired")
    assert (mended["reason"], mended["bytes_fetched"] > 0) == ("OK", True), mended
    assert f"rollout restart deploy/{release.name}" in release.event("Deployment", "REPAIRED")
    eventually("a ready worker", lambda: release.is_ready() or None)
    assert release.running_worker() == pod, "the worker has loaded the model again"
    assert _metric(release, "qda_cache_deep_check_mended_files") == [" 1.0"]
    assert _metric(release, 'qda_cache_model_damaged{model="german-sentiment"}') == [" 0.0"]
    assert release.check(pod, "--deep").code == 0
    state = release.worker()["status"]["containerStatuses"][0]
    assert state["restartCount"] == 0
