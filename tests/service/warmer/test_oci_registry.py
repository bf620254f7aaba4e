"""An exported image in a registry: pushed and pulled by skopeo, then read as a cache."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from model_cache.reasons import Reason
from tests.service.warmer.archives import export
from tests.service.warmer.fixtures import Workspace
from tests.service.warmer.images import IMAGE, deep_reason, layers_of, tree, unpack

PROGRAMS: Final = ("skopeo", "docker-registry")
MISSING: Final = [name for name in PROGRAMS if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Return host and port of a registry on loopback."""
    config = tmp_path / "registry.yaml"
    config.write_text(
        f"""version: 0.1
storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}
http: {{addr: "127.0.0.1:0"}}
""",
        "utf-8",
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    log = []
    try:
        for line in process.stderr:
            log.append(line)
            if "listening on " in line:
                yield line.partition("listening on ")[2].split('"')[0].split(",")[0].strip()
                return
        pytest.fail("".join(log))
    finally:
        process.terminate()
        process.communicate(timeout=30)


def skopeo(*arguments: str) -> str:
    """Run skopeo and return its output."""
    return subprocess.run(
        ["skopeo", "--insecure-policy", *arguments], check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
def test_an_image_from_a_registry_is_the_same_cache(
    workspace: Workspace, registry: str, tmp_path: Path, transport: str
) -> None:
    assert workspace.warm().reason == "OK"
    output = tmp_path / ("image.tar" if transport == "oci-archive" else "image")
    digest = export(workspace, output, *IMAGE)["digest"]
    export(workspace, tmp_path / "exported", *IMAGE)
    image = f"docker://{registry}/models/cache"

    skopeo(
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
        f"{transport}:{output}",
        f"{image}:one",
    )
    assert digest in skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"{image}:one")
    for architecture in ("amd64", "arm64"):
        labels = skopeo(
            "inspect",
            "--override-arch",
            architecture,
            "--tls-verify=false",
            "--format",
            "{{.Labels}}",
            f"{image}@{digest}",
        )
        assert "qda-worker/generation:" in labels
    skopeo(
        "copy",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        f"{image}:one",
        f"oci:{tmp_path}/pulled",
    )

    assert layers_of(tmp_path / "pulled") == layers_of(tmp_path / "exported")
    unpacked = unpack(tmp_path / "pulled", tmp_path / "unpacked")
    assert tree(unpacked) == tree(unpack(tmp_path / "exported", tmp_path / "before"))
    assert deep_reason(workspace, unpacked) is Reason.OK
