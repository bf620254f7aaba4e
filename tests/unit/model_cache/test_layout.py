"""Paths inside the places of a cache."""

from pathlib import Path, PurePosixPath
from typing import Final

from model_cache import layout
from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, Task
from model_cache.places import PlaceName, resolve_places

HUB: Final = HuggingFaceSource("BAAI/bge-m3", "5" * 40, ("config.json",))
PACKAGE: Final = SpacySource("de_core_news_lg", "3.8.0", "https://x/w.whl", "36fda650" + "0" * 56)
PLACES: Final = resolve_places("/cache", {}, Path("/home"))


def test_the_folder_of_a_repository_is_that_of_the_hub_client() -> None:
    assert layout.repository_folder("BAAI/bge-m3") == PurePosixPath("models--BAAI--bge-m3")
    assert layout.repository_folder("bert-base-cased") == PurePosixPath("models--bert-base-cased")
    assert layout.snapshot_folder(HUB) == PurePosixPath(f"models--BAAI--bge-m3/snapshots/{'5' * 40}")


def test_two_builds_of_one_package_version_have_different_folders() -> None:
    other = SpacySource("de_core_news_lg", "3.8.0", "https://x/w.whl", "f" * 64)
    assert layout.spacy_package_folder(PACKAGE) == PurePosixPath(".packages/de_core_news_lg-3.8.0-36fda650")
    assert layout.spacy_package_folder(other) != layout.spacy_package_folder(PACKAGE)


def test_a_folder_of_the_hub_client_tells_the_repository() -> None:
    for name in ("gpt2", "BAAI/bge-m3", "org/a--b"):
        assert layout.repository_name(str(layout.repository_folder(name))) == name


def test_the_folder_of_a_model_is_the_one_its_library_accepts() -> None:
    entities, embedding = Model("a", Task.ENTITIES, PACKAGE), Model("b", Task.EMBEDDING, HUB)
    inner = ".packages/de_core_news_lg-3.8.0-36fda650/de_core_news_lg/de_core_news_lg-3.8.0"
    assert layout.model_folder(entities) == (PlaceName.SPACY, PurePosixPath(inner))
    assert layout.model_path(PLACES, entities) == Path("/cache/spacy") / inner
    assert layout.model_path(PLACES, embedding) == Path(
        f"/cache/huggingface/hub/models--BAAI--bge-m3/snapshots/{'5' * 40}"
    )


def test_manifests_and_records_are_in_our_own_place() -> None:
    assert layout.manifest_path(PLACES, "abc") == Path("/cache/.model-cache/manifests/abc.json")
    assert layout.model_record_path(PLACES, "abc") == Path("/cache/.model-cache/models/abc.json")
