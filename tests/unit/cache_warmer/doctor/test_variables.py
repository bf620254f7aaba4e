"""Variables that are ignored, contradict each other, or have a value that does not mean what it seems to."""

from pathlib import Path
from typing import Final

import pytest

from cache_warmer.doctor.diagnosis import Severity
from cache_warmer.doctor.variables import check_variables, shown_variables
from model_cache.places import resolve_places

FIVE: Final = {"transformers": "5.23.0"}


def checks(
    environ: dict[str, str], home: Path, versions: dict[str, str | None] | None = None
) -> list[tuple[str, str]]:
    places = resolve_places("host", environ, home)
    found = check_variables(environ, places, versions or dict(FIVE))
    return [(one.check, one.message) for one in found if one.severity is not Severity.NOTE]


def test_a_plain_environment_has_no_findings(tmp_path: Path) -> None:
    assert list(check_variables({"PATH": "/bin"}, resolve_places("host", {}, tmp_path), FIVE)) == []


@pytest.mark.parametrize(
    "name", ["TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "PYTORCH_PRETRAINED_BERT_CACHE"]
)
def test_variables_of_transformers_4_are_ignored_by_5_and_read_by_4(tmp_path: Path, name: str) -> None:
    ((check, message),) = checks({name: "/old"}, tmp_path)
    assert (check, "is ignored" in message) == ("ignored-variable", True)

    ((_, message),) = checks({name: "/old"}, tmp_path, {"transformers": "4.57.1"})
    assert "transformers 4.57.1 looks there instead" in message


def test_a_former_variable_with_the_folder_of_the_hub_is_no_finding(tmp_path: Path) -> None:
    assert checks({"TRANSFORMERS_CACHE": "/data/hub/", "HF_HUB_CACHE": "/data/hub"}, tmp_path) == []


def test_spacy_data_is_said_not_to_be_spacys(tmp_path: Path) -> None:
    environ = {"SPACY_DATA": "/data/spacy"}
    (found,) = check_variables(environ, resolve_places("host", environ, tmp_path), FIVE)
    assert (found.check, found.severity) == ("ignored-variable", Severity.NOTE)
    assert "spaCy does not" in found.message


@pytest.mark.parametrize(
    ("environ", "check"),
    [
        ({"SENTENCE_TRANSFORMERS_HOME": "/st"}, "second-cache"),
        ({"HF_HUB_CACHE": "/a", "HUGGINGFACE_HUB_CACHE": "/b"}, "conflicting-variables"),
        ({"HF_HOME": ""}, "empty-variable"),
        ({"TORCH_HOME": "models"}, "relative-folder"),
        ({"HF_HUB_OFFLINE": "y"}, "unknown-value"),
    ],
)
def test_misleading_values_are_warnings(tmp_path: Path, environ: dict[str, str], check: str) -> None:
    assert [name for name, _ in checks(environ, tmp_path)] == [check]


def test_a_variable_that_is_one_folder_too_high_or_low_is_named(tmp_path: Path) -> None:
    (tmp_path / "hf/hub/models--a--b").mkdir(parents=True)
    high, low = str(tmp_path / "hf"), str(tmp_path / "hf/hub")

    assert [name for name, _ in checks({"HF_HUB_CACHE": high}, tmp_path)] == ["wrong-folder"]
    assert [name for name, _ in checks({"HF_HOME": low}, tmp_path)] == ["wrong-folder"]
    assert checks({"HF_HUB_CACHE": low}, tmp_path) == checks({"HF_HOME": high}, tmp_path) == []


def test_another_folder_of_models_than_hf_home_and_offline_mode_are_notes(tmp_path: Path) -> None:
    environ = {"HF_HOME": "/hf", "HF_HUB_CACHE": "/models", "HF_HUB_OFFLINE": "1"}
    found = list(check_variables(environ, resolve_places("host", environ, tmp_path), FIVE))
    assert [one.check for one in found] == ["offline", "conflicting-variables"]
    assert {one.severity for one in found} == {Severity.NOTE}


def test_listed_values_show_neither_tokens_nor_passwords() -> None:
    environ = {
        "HF_TOKEN": "hf_secret",
        "HTTPS_PROXY": "http://me:secret@proxy:1",
        "HF_HOME": "",
        "OTHER": "secret",
    }
    assert shown_variables(environ) == {
        "HF_HOME": "(empty)",
        "HTTPS_PROXY": "http://proxy:1",
        "HF_TOKEN": "(set)",
    }
