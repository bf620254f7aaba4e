"""Versions of libraries, and of the spaCy that a package was made for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cache_warmer.doctor.libraries import (
    check_libraries,
    check_spacy_packages,
    installed_versions,
    major_version,
)


def test_versions_are_found_without_importing_a_library() -> None:
    program = (
        "import sys; from cache_warmer.doctor.libraries import *; found = installed_versions(); "
        "list(check_libraries(found)); print(found['torch'], *{'torch', 'transformers', 'spacy'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(installed_versions()["torch"])]


def test_the_installed_versions_are_those_that_the_project_accepts() -> None:
    assert list(check_libraries(installed_versions())) == []


def test_another_version_than_the_projects_is_named_with_the_accepted_ones() -> None:
    (found,) = check_libraries(installed_versions() | {"spacy": "3.7.5"})
    assert "spacy 3.7.5 is installed" in found.message
    assert "3.8.18" in found.remedy


def test_no_hub_client_and_no_torch_is_one_finding() -> None:
    (found,) = check_libraries(installed_versions() | {"huggingface_hub": None, "torch": None})
    assert "hub client is not installed" in found.message


def test_versions_of_transformers_that_fail_offline_are_named() -> None:
    messages = [one.message for one in check_libraries(installed_versions() | {"transformers": "4.57.3"})]
    assert any("fails offline" in message for message in messages)


@pytest.mark.parametrize(
    ("allowed", "count"), [(">=3.7.0,<3.8.0", 1), (">=3.8.0,<3.9.0", 0), ("nonsense", 0)]
)
def test_a_package_for_another_spacy_is_a_finding(tmp_path: Path, allowed: str, count: int) -> None:
    for name, content in {
        "de_test": json.dumps({"spacy_version": allowed}),
        "other": json.dumps({"version": "1"}),
        "broken": "{",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta.json").write_text(content)

    assert len(list(check_spacy_packages((tmp_path, tmp_path / "absent"), "3.8.18"))) == count
    assert list(check_spacy_packages((tmp_path,), None)) == []


@pytest.mark.parametrize(
    ("version", "major"), [("5.23.0", 5), ("10", 10), ("x.y", None), ("", None), (None, None)]
)
def test_the_major_version_is_the_first_number(version: str | None, major: int | None) -> None:
    assert major_version(version) == major
