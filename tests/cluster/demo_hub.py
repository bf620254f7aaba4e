"""The fake hub in a pod, with the small models, for a cluster without internet access.

`python -m tests.cluster.demo_hub --image REGISTRY/qda-worker:TAG` starts it in the current namespace and writes the
catalogs that it serves to build/demo-cluster. It runs in the worker's image, which the cluster has to be able to pull
anyway; its files are sent to it by `kubectl exec`.
"""

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from model_cache.file_io import replacement
from tests.cluster.kubectl import CommandFailed, Kubectl, run
from tests.cluster.newer_wheel import newer, with_newer
from tests.support.small_models import SmallModels, small_models

ROOT: Final = Path(__file__).parents[2]
CATALOGS: Final = ROOT / "build" / "demo-cluster"
NAME: Final = "demo-hub"
URL: Final = f"http://{NAME}:8001"
SECOND_REVISION: Final = "2" * 40
# The sentiment model with one more file, which is only there if the hub was started with `large_bytes`.
LARGE_REVISION: Final = "3" * 40
LARGE_FILE: Final = "large.safetensors"
_REVISED: Final = "qda-demo/german-sentiment-bert"

_FILL: Final = """
import os, sys, tarfile
tarfile.open(fileobj=sys.stdin.buffer, mode="r|").extractall("/srv")
path, size = sys.argv[1], int(sys.argv[2])
if size:
    with open(path, "wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(os.urandom(min(1 << 20, size - at)))
open("/srv/filled", "w").close()
"""
_SERVE: Final = """
import os, time
while not os.path.exists("/srv/filled"):
    time.sleep(0.2)
os.chdir("/srv")
listen = ["--listen", "0.0.0.0:8001", "--second-listen", "0.0.0.0:8002"]
os.execvp("python", ["python", "-m", "fake_hub", "--root", "/srv/hub", *listen])
"""
RESTRICTED: Final = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def start(kubectl: Kubectl, image: str, models: SmallModels, large_bytes: int = 0) -> None:
    """Start the hub, unless it runs already.

    Args:
        kubectl: the namespace.
        image: the worker's image, in which the hub runs.
        models: the models to serve.
        large_bytes: size of a file of random content that it serves besides, for `large.yaml`; 0: none.

    Raises:
        CommandFailed: it did not start.
    """
    if kubectl.says("get", "pod", NAME).code == 0:
        kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=90s")
        return
    kubectl.apply(_pod(image), _service())
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{NAME}", "--timeout=120s")
    large = (f"/srv/hub/models/{_REVISED}-3/{LARGE_FILE}", str(large_bytes))
    kubectl(
        "exec", "--stdin", NAME, "--", "python", "-c", _FILL, *large, stdin=_files(models, large_bytes > 0)
    )
    kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=60s")


def write_catalogs(models: SmallModels, folder: Path = CATALOGS) -> None:
    """Write `catalog.yaml` with its lock, and three later catalogs without one.

    `second.yaml` has a newer revision of the sentiment model, `third.yaml` a newer version of the spaCy package,
    `large.yaml` a revision of the sentiment model with a large file. A file is replaced at once, because the other
    processes of a parallel run may be reading it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in (models.catalog, models.catalog.with_name("catalog.lock.json")):
        _replace(folder / source.name, source.read_text("utf-8"))
    for name, revision, added in (("second", SECOND_REVISION, []), ("large", LARGE_REVISION, [LARGE_FILE])):
        revised = yaml.safe_load(models.catalog.read_text("utf-8"))
        for model in revised["models"]:
            if model.get("huggingface", {}).get("repository") == _REVISED:
                model["huggingface"] |= {
                    "revision": revision,
                    "files": [*model["huggingface"]["files"], *added],
                }
        _replace(folder / f"{name}.yaml", yaml.safe_dump(revised, sort_keys=False))
    third = with_newer(yaml.safe_load(models.catalog.read_text("utf-8")), *newer(_wheel(models)))
    _replace(folder / "third.yaml", yaml.safe_dump(third, sort_keys=False))


def _replace(path: Path, text: str) -> None:
    with replacement(path, sync=False) as file:
        file.write(text.encode())


def _files(models: SmallModels, has_large: bool) -> bytes:
    """Return the hub's program and its models as a tar file, with one or two more revisions of one of them."""
    content = io.BytesIO()
    revisions = {2: SECOND_REVISION, **({3: LARGE_REVISION} if has_large else {})}
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(ROOT / "tests/support/fake_hub", "fake_hub", filter=_without_caches)
        tar.add(models.hub, "hub")
        name, wheel = newer(_wheel(models))
        made_files = {f"hub/wheels/{name}": wheel}
        for number, commit in revisions.items():
            revised = f"hub/models/{_REVISED}-{number}"
            tar.add(models.hub / "models" / _REVISED, revised, filter=_without_description)
            description = {"id": _REVISED, "commit": commit, "branches": []}
            made_files[f"{revised}/repository.json"] = json.dumps(description).encode()
        for path, made in made_files.items():
            information = tarfile.TarInfo(path)
            information.size = len(made)
            tar.addfile(information, io.BytesIO(made))
    return content.getvalue()


def _wheel(models: SmallModels) -> Path:
    (wheel,) = (models.hub / "wheels").glob("*.whl")
    return wheel


def _without_caches(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _without_description(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith("repository.json") else member


def _pod(image: str) -> dict[str, Any]:
    container = {
        "name": "hub",
        "image": image,
        "command": ["python", "-c", _SERVE],
        "readinessProbe": {"tcpSocket": {"port": 8001}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": RESTRICTED_CONTAINER,
        "volumeMounts": [{"name": "srv", "mountPath": "/srv"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "securityContext": RESTRICTED,
        "containers": [container],
        "volumes": [{"name": "srv", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    }
    metadata = {"name": NAME, "labels": {"app.kubernetes.io/name": NAME}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _service() -> dict[str, Any]:
    ports = [{"name": "hub", "port": 8001}, {"name": "storage", "port": 8002}]
    spec = {"selector": {"app.kubernetes.io/name": NAME}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": spec}


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the hub in the current namespace, write the catalogs, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.demo_hub", description=__doc__)
    parser.add_argument(
        "--image", required=True, help="the worker's image, by the name that the cluster pulls it"
    )
    parser.add_argument("--namespace", help="(default: the current context's)")
    options = parser.parse_args(arguments)
    current = run(["kubectl", "config", "view", "--minify", "--output=jsonpath={..namespace}"]).out
    models = small_models()
    write_catalogs(models)
    try:
        start(Kubectl(options.namespace or current or "default"), options.image, models)
    except CommandFailed as error:
        print(f"The hub did not start: {error}", file=sys.stderr)
        return 1
    print(
        f"A hub for tests serves four small models at {URL}; their catalog is in {CATALOGS.relative_to(ROOT)}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
