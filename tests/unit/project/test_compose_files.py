"""What compose.yaml and its variants promise, read as data; `make test-compose` runs them."""

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


def test_what_names_a_folder_of_the_host_is_no_variable_of_the_container() -> None:
    """podman-compose lets a service's own environment decide what `${…}` in its other lines means."""
    for service in services("compose.yaml").values():
        named = {name for mount in service["volumes"] for name in re.findall(r"\$\{(\w+)", mount["source"])}
        assert named.isdisjoint(service["environment"])


@pytest.mark.parametrize("file", FILES)
def test_the_worker_comes_after_the_warmer_and_under_its_name(file: str) -> None:
    worker = services(file)["qda-worker"]
    assert worker["container_name"] == "qda_worker"
    assert worker["depends_on"] == {"cache-warmer": {"condition": "service_completed_successfully"}}
    assert all(port.startswith("127.0.0.1:") for port in worker["ports"])


@pytest.mark.parametrize("file", FILES)
def test_no_service_may_do_more_than_it_needs(file: str) -> None:
    for service in services(file).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("file", FILES)
def test_the_images_are_those_that_make_images_makes(file: str) -> None:
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
