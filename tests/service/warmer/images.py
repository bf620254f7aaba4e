"""Read OCI image layouts, and unpack them as a container runtime does."""

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any, Final

from model_cache.catalog.parse import load_catalog
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.service.warmer.fixtures import Workspace

# The option of `export` that writes an image.
IMAGE: Final = ("--format", "oci-image")


def blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def document(layout: Path, digest: str) -> dict[str, Any]:
    return dict(json.loads(blob(layout, digest).read_bytes()))


def manifests_of(layout: Path) -> list[dict[str, Any]]:
    index = json.loads((layout / "index.json").read_bytes())
    [descriptor] = index["manifests"]
    return [document(layout, one["digest"]) for one in document(layout, descriptor["digest"])["manifests"]]


def layers_of(layout: Path) -> list[str]:
    return [layer["digest"] for layer in manifests_of(layout)[0]["layers"]]


def unpack(layout: Path, folder: Path) -> Path:
    folder.mkdir()
    for digest in layers_of(layout):
        with tarfile.open(blob(layout, digest)) as layer:
            layer.extractall(folder, filter="tar")
    return folder


def tree(folder: Path) -> dict[str, str]:
    """Return target or hash of all links and files, by their names."""
    return {
        str(path.relative_to(folder)): (
            f"-> {os.readlink(path)}" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def deep_reason(workspace: Workspace, cache: Path) -> Reason:
    models = load_catalog(workspace.catalog).models
    return check(models, resolve_places(str(cache), {}, Path("/nowhere")), Tier.DEEP).reason
