"""Copies of the same files in two caches, and what they cost."""

import hashlib
import os
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.doctor.diagnosis import Finding
from cache_warmer.doctor.duplicates import MIN_BYTES, check_duplicates, known_caches
from model_cache.places import Places, resolve_places

WEIGHTS: Final = b"w" * (MIN_BYTES + 1)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places("host", {}, tmp_path)


def write(path: Path, content: bytes = WEIGHTS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_blob(hub: Path, name: str, content: bytes = WEIGHTS) -> Path:
    blob = write(hub / f"models--{name}/blobs" / hashlib.sha256(content).hexdigest(), content)
    link = hub / f"models--{name}/snapshots" / ("a" * 40) / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return blob


def found(places: Places, home: Path, environ: dict[str, str] | None = None, *sites: Path) -> list[Finding]:
    return list(check_duplicates(known_caches(places, environ or {}, home, sites)))


def test_a_model_of_the_former_layout_of_sentence_transformers_is_stored_twice(
    places: Places, tmp_path: Path
) -> None:
    write_blob(places.hub.path, "org--name")
    copy = write(places.torch.path / "sentence_transformers/org_name/pytorch_model.bin")

    (one,) = found(places, tmp_path)

    assert (one.check, one.bytes, one.paths) == ("stored-twice", len(WEIGHTS), (str(copy),))
    assert str(places.hub.path / "models--org--name") in one.message
    assert str(copy.parent) in one.remedy


def test_links_hard_links_and_small_files_are_no_second_copy(places: Places, tmp_path: Path) -> None:
    blob = write_blob(places.hub.path, "org--name")
    small = write(places.hub.path / "models--org--name/blobs/small", b"s")
    former = places.torch.path / "sentence_transformers/org_name"
    write(former / "small", small.read_bytes())
    (former / "link.bin").symlink_to(blob)
    os.link(blob, former / "hard.bin")
    (former.parent / "whole").symlink_to(places.hub.path / "models--org--name")

    assert found(places, tmp_path) == []


def test_files_of_one_size_and_other_content_are_no_copy(places: Places, tmp_path: Path) -> None:
    write_blob(places.hub.path, "org--name")
    write(places.torch.path / "sentence_transformers/org_name/model.bin", b"x" * len(WEIGHTS))
    assert found(places, tmp_path) == []


def test_one_file_in_two_repositories_of_one_cache_is_nobodys_mistake(places: Places, tmp_path: Path) -> None:
    write_blob(places.hub.path, "org--name")
    write_blob(places.hub.path, "fork--name")
    assert found(places, tmp_path) == []


def test_a_hub_cache_that_no_variable_names_any_more_is_compared(tmp_path: Path) -> None:
    places = resolve_places("host", {"HF_HUB_CACHE": str(tmp_path / "disk")}, tmp_path)
    write_blob(places.hub.path, "org--name")
    former = write_blob(tmp_path / ".cache/huggingface/hub", "org--name")
    (one,) = found(places, tmp_path)
    assert one.paths == (str(former),)


@pytest.mark.parametrize("name", ["TRANSFORMERS_CACHE", "SENTENCE_TRANSFORMERS_HOME"])
def test_the_folder_of_a_variable_is_compared_and_the_hubs_own_is_not(
    places: Places, tmp_path: Path, name: str
) -> None:
    write_blob(places.hub.path, "org--name")
    other = write_blob(tmp_path / "other", "org--name")
    assert [one.paths for one in found(places, tmp_path, {name: str(tmp_path / "other")})] == [(str(other),)]
    assert found(places, tmp_path, {name: str(places.hub.path)}) == []


def test_a_spacy_package_in_site_packages_is_compared_with_ours(places: Places, tmp_path: Path) -> None:
    ours = places.spacy.path / ".packages/de_x-1.0-abcd1234/de_x"
    theirs = tmp_path / "site-packages/de_x"
    for folder in (ours, theirs):
        write(folder / "__init__.py", b"")
        write(folder / "meta.json", b'{"spacy_version": ">=3.8"}')
        write(folder / "de_x-1.0/vocab/vectors")

    (one,) = found(places, tmp_path, {}, theirs.parent)

    assert (one.bytes, "pip uninstall" in one.remedy) == (len(WEIGHTS), True)
    assert f"{ours.parent} and {theirs} " in one.message
