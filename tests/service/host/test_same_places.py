"""The places of the cache on a host are those that the installed libraries use; the libraries print theirs."""

import json
from pathlib import Path
from typing import Final

import pytest

from model_cache.places import resolve_places
from tests.service.host.homes import plain

PRINT_HUB: Final = """
import json
from huggingface_hub import constants
print(json.dumps({"hub": constants.HF_HUB_CACHE, "token": constants.HF_TOKEN_PATH}))
"""
PRINT_TORCH: Final = """
import json, os, torch.hub
print(json.dumps({"home": torch.hub._get_torch_home(), "dir": torch.hub.get_dir()}))
"""


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"XDG_CACHE_HOME": "/xdg"},
        {"XDG_CACHE_HOME": "~/xdg"},
        {"HF_HOME": "/hf", "XDG_CACHE_HOME": "/xdg"},
        {"HF_HOME": "$DATA/hf", "DATA": "/data"},
        {"HF_HOME": "${DATA}/hf", "DATA": "/data"},
        {"HF_HOME": "/a/$NOBODY_SET_THIS"},
        {"HF_HOME": "~root/hf"},
        {"HF_HOME": "relative/hf"},
        {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/hf"},
        {"HUGGINGFACE_HUB_CACHE": "~/old"},
        {"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/hf"},
        {"HF_HUB_CACHE": "~/new"},
        {"HF_HUB_CACHE": "$DATA/new", "DATA": "/data"},
        {"TRANSFORMERS_CACHE": "/ignored"},
        {"SENTENCE_TRANSFORMERS_HOME": "/ignored"},
    ],
    ids=str,
)
def test_the_hub_client_uses_the_same_folder(environ: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "somebody"
    library = json.loads(plain(PRINT_HUB, {**environ, "HOME": str(home)}, tmp_path))
    ours = resolve_places("host", environ, home).hub.path
    # a relative path is relative to the working folder, which differs between the two processes
    assert tmp_path / library["hub"] == (
        tmp_path / ours.relative_to(Path.cwd()) if _relative(environ) else ours
    )


def _relative(environ: dict[str, str]) -> bool:
    return any(value.startswith("relative") for value in environ.values())


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"XDG_CACHE_HOME": "/xdg"},
        {"XDG_CACHE_HOME": "~/xdg"},
        {"TORCH_HOME": "/torch", "XDG_CACHE_HOME": "/xdg"},
        {"TORCH_HOME": "~/torch"},
        {"TORCH_HOME": "/$DATA/torch", "DATA": "data"},
    ],
    ids=str,
)
def test_torch_uses_the_same_folder(environ: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "somebody"
    library = json.loads(plain(PRINT_TORCH, {**environ, "HOME": str(home)}, tmp_path))
    ours = resolve_places("host", environ, home).torch.path
    assert Path(library["home"]) == ours
    assert Path(library["dir"]) == ours / "hub"
