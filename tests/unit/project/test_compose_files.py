"""The contents of compose.yaml and its variants; `make test-compose` runs them."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[3]
FILES: Final = ("compose.yaml", "compose.volume.yaml")
PLACES: Final = {  # the contract's
    "/cache/huggingface": "~/.cache/huggingface",
    "/cache/spacy": "~/.local/share/spacy",
    "/cache/torch": "~/.cache/torch",
    "/cache/.model-cache": "~/.cache/qda-worker",
}


def services(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / file).read_text("utf-8"))["services"]
    return found


def test_the_hosts_caches_are_mounted_at_the_places_of_the_contract() -> None:
    found = services("compose.yaml")
    for service, read_only in (("cache-warmer", False), ("qda-worker", True)):
        mounts = found[service]["volumes"]
        assert {mount["target"]: default(mount["source"]) for mount in mounts} == PLACES
        assert all(mount.get("read_only", False) is read_only for mount in mounts)
        assert all(mount["bind"] == {"create_host_path": False} for mount in mounts)


def test_variables_of_host_folders_are_not_passed_to_the_containers() -> None:
    """podman-compose lets a service's own environment decide what `${…}` in its other lines means."""
    for service in services("compose.yaml").values():
        named = {name for mount in service["volumes"] for name in re.findall(r"\$\{(\w+)", mount["source"])}
        assert named.isdisjoint(service["environment"])


@pytest.mark.parametrize("file", FILES)
def test_the_worker_starts_after_the_warmer_and_has_its_container_name(file: str) -> None:
    worker = services(file)["qda-worker"]
    assert worker["container_name"] == "qda_worker"
    assert worker["depends_on"] == {"cache-warmer": {"condition": "service_completed_successfully"}}
    assert all(port.startswith("127.0.0.1:") for port in worker["ports"])


@pytest.mark.parametrize("file", FILES)
def test_each_service_has_minimal_permissions(file: str) -> None:
    for service in services(file).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("file", FILES)
def test_the_images_are_those_of_make_images(file: str) -> None:
    version = re.search(r'^version = "(.+?)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version
    for service in services(file).values():
        assert re.fullmatch(r"qda-(worker|cache-warmer):" + re.escape(version[1]), default(service["image"]))
        assert (ROOT / service["build"]["dockerfile"]).is_file()


def default(text: str) -> str:
    """Return the value of `${NAME:-VALUE}` where NAME is not set."""
    found = re.fullmatch(r"\$\{\w+:-(.+)\}", text)
    assert found, text
    return found[1]
