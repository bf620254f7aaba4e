"""Places of a cache, by each library's own rules on Linux and macOS; `test_places_windows` has those of Windows."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.places import PlaceName, resolve_places

HOME: Final = Path("/home/me")


@pytest.mark.parametrize(
    ("environ", "path", "chosen_by"),
    [
        ({}, "/home/me/.cache/huggingface/hub", "default"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub", "XDG_CACHE_HOME"),
        ({"XDG_CACHE_HOME": "/xdg", "HF_HOME": "/hf"}, "/hf/hub", "HF_HOME"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old", "HUGGINGFACE_HUB_CACHE"),
        (
            {"HF_HUB_CACHE": "/hub", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/hf"},
            "/hub",
            "HF_HUB_CACHE",
        ),
        ({"HF_HUB_CACHE": "", "HF_HOME": "/hf"}, "/hf/hub", "HF_HOME"),
        ({"HF_HOME": "~/hf"}, "/home/me/hf/hub", "HF_HOME"),
        ({"HF_HOME": "$DATA/hf", "DATA": "/data"}, "/data/hf/hub", "HF_HOME"),
        ({"HF_HOME": "${DATA}/hf", "DATA": "/data"}, "/data/hf/hub", "HF_HOME"),
        ({"HF_HOME": "/a/$NONE"}, "/a/$NONE/hub", "HF_HOME"),
        ({"TRANSFORMERS_CACHE": "/ignored"}, "/home/me/.cache/huggingface/hub", "default"),
    ],
)
def test_the_hubs_place_is_that_of_the_hub_client(environ: dict[str, str], path: str, chosen_by: str) -> None:
    place = resolve_places("host", environ, HOME, "linux").hub
    assert (place.name, place.path, place.chosen_by) == (PlaceName.HUB, Path(path), chosen_by)


@pytest.mark.parametrize(
    ("environ", "platform", "path", "chosen_by"),
    [
        ({}, "linux", "/home/me/.local/share/spacy", "default"),
        ({"SPACY_DATA": "/s"}, "linux", "/s", "SPACY_DATA"),
        ({"APPDATA": "/appdata"}, "linux", "/home/me/.local/share/spacy", "default"),
        ({}, "darwin", "/home/me/.local/share/spacy", "default"),
    ],
)
def test_the_place_of_spacy_packages(
    environ: dict[str, str], platform: str, path: str, chosen_by: str
) -> None:
    place = resolve_places("host", environ, HOME, platform).spacy
    assert (place.path, place.chosen_by) == (Path(path), chosen_by)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_default_places_are_below_the_home_on_every_platform(platform: str) -> None:
    places = resolve_places("host", {}, HOME, platform)
    assert places.hub.path == HOME / ".cache/huggingface/hub"
    assert places.torch.path == HOME / ".cache/torch"
    assert places.own.path == HOME / ".cache/qda-worker"
    assert places.label == "host"


def test_torch_and_our_own_place_follow_their_variables() -> None:
    places = resolve_places("host", {"TORCH_HOME": "/t", "XDG_CACHE_HOME": "/x"}, HOME)
    assert (places.torch.path, places.torch.chosen_by) == (Path("/t"), "TORCH_HOME")
    assert (places.own.path, places.own.chosen_by) == (Path("/x/qda-worker"), "XDG_CACHE_HOME")
    assert resolve_places("host", {"XDG_CACHE_HOME": "/x"}, HOME).torch.path == Path("/x/torch")


def test_a_variable_moves_our_own_place_alone() -> None:
    places = resolve_places("host", {"QDA_RECORDS": "~/r", "XDG_CACHE_HOME": "/x"}, HOME)
    assert (places.own.path, places.own.chosen_by) == (HOME / "r", "QDA_RECORDS")
    assert places.hub.chosen_by == "XDG_CACHE_HOME"


def test_torch_expands_a_tilde_but_no_variable() -> None:
    environ = {"TORCH_HOME": "~/$DATA", "DATA": "d", "SPACY_DATA": "~/$DATA"}
    places = resolve_places("host", environ, HOME)
    assert (places.torch.path, places.spacy.path) == (HOME / "$DATA", HOME / "d")


def test_a_folder_holds_all_places_regardless_of_the_environment() -> None:
    places = resolve_places("/cache", {"HF_HOME": "/hf", "SPACY_DATA": "/s", "TORCH_HOME": "/t"}, HOME)
    assert [(place.name, str(place.path)) for place in places.all()] == [
        (PlaceName.HUB, "/cache/huggingface/hub"),
        (PlaceName.SPACY, "/cache/spacy"),
        (PlaceName.TORCH, "/cache/torch"),
        (PlaceName.OWN, "/cache/.model-cache"),
    ]
    assert {place.chosen_by for place in places.all()} == {"--cache"}
    assert places.label == "/cache"


def test_a_relative_folder_starts_at_the_working_folder() -> None:
    places = resolve_places("here", {}, HOME)
    assert places.own.path == Path.cwd() / "here" / ".model-cache"
    assert places.label == "here"


def test_a_tilde_is_the_home() -> None:
    assert resolve_places("~/models", {}, HOME).torch.path == HOME / "models" / "torch"


@pytest.mark.parametrize("name", PlaceName)
def test_each_place_is_found_by_its_name(name: PlaceName) -> None:
    assert resolve_places("host", {}, HOME).of(name).name is name
