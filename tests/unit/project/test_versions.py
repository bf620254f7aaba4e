"""One version; and the floors of the ranges, of the tested pins and of the stubs' generator are the same."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STUBS: Final = sorted((ROOT / "src" / "qda").rglob("*_pb2.py"))
SERVICE_STUBS: Final = sorted((ROOT / "src" / "qda").rglob("*_pb2_grpc.py"))


def pins(file: str) -> dict[str, str]:
    """Return the exact versions of a constraints file, by normalized name."""
    lines = (ROOT / "constraints" / file).read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normalized(package): pinned for package, pinned in pairs}


def normalized(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def ranges() -> dict[str, str]:
    """Return what every requirement of the project asks for, by normalized name; extras of our own left out."""
    extras = PROJECT["optional-dependencies"].values()
    requirements = [*PROJECT["dependencies"], *(requirement for extra in extras for requirement in extra)]
    parts = (
        re.fullmatch(r"([\w.-]+)(.*)", requirement) for requirement in requirements if "[" not in requirement
    )
    return {normalized(part[1]): part[2] for part in parts if part}


def floor(package: str) -> str:
    return ranges()[package].removeprefix(">=").partition(",")[0]


BASE: Final = sorted(
    normalized(re.split(r"[<>=]", requirement)[0]) for requirement in PROJECT["dependencies"]
)


def test_the_installed_version_is_the_declared_one() -> None:
    assert version("qda-worker") == PROJECT["version"]


def test_the_changelog_has_an_entry_for_this_version() -> None:
    assert re.search(
        rf"^## \[?{re.escape(PROJECT['version'])}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.name)
def test_the_protobuf_floor_is_the_generator_of_the_stubs(stub: Path) -> None:
    found = re.search(r"^# Protobuf Python Version: (\S+)$", stub.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    assert found[1] == floor("protobuf")


@pytest.mark.parametrize("stub", SERVICE_STUBS, ids=lambda path: path.name)
def test_the_grpc_floor_is_the_generator_of_the_stubs(stub: Path) -> None:
    found = re.search(r"^GRPC_GENERATED_VERSION = '(\S+)'$", stub.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    assert found[1] == floor("grpcio")


def test_the_generator_is_pinned_at_the_floor() -> None:
    assert pins("proto.txt")["grpcio-tools"] == floor("grpcio")
    assert pins("proto.txt")["protobuf"] == floor("protobuf")


@pytest.mark.parametrize("package", BASE)
def test_the_client_is_tested_at_each_declared_floor(package: str) -> None:
    assert pins("floor.txt")[package] == floor(package)


@pytest.mark.parametrize("package", sorted(ranges()))
def test_every_dependency_is_pinned_exactly(package: str) -> None:
    assert package in pins("pinned.txt")


def test_pins_have_no_build_label_so_that_each_machine_uses_its_own() -> None:
    assert not [package for package, pinned in pins("pinned.txt").items() if "+" in pinned]
