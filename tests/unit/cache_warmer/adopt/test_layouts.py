"""Layouts of older and newer caches are recognized by their names."""

import json
import os
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

from cache_warmer.adopt.layouts import (
    FileHint,
    FoundModel,
    Layout,
    file_hint,
    recognize,
    recognize_spacy_packages,
    snapshot_hint,
)

STEM: Final = f"{'1' * 64}.{'2' * 64}"


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("folder", "names", "layout", "name"),
    [
        ("models--BAAI--bge-m3", ["blobs/x"], Layout.HUB_CACHE, "BAAI/bge-m3"),
        ("models--org--a--b", ["snapshots/c/config.json"], Layout.HUB_CACHE, "org/a--b"),
        ("models--gpt2", ["snapshots/c/config.json"], Layout.HUB_CACHE, "gpt2"),
        ("models--org--x", ["config.json"], Layout.MODEL_FOLDER, "models--org--x"),
        ("m", [".cache/huggingface/download/x.metadata", "x"], Layout.LOCAL_DIR, "m"),
        ("m", [".huggingface/download/x.metadata", "config.json"], Layout.LOCAL_DIR, "m"),
        ("transformers", [STEM, f"{STEM}.json"], Layout.TRANSFORMERS, ""),
        ("transformers", ["3" * 64, f"{'3' * 64}.json"], Layout.TRANSFORMERS, ""),
        ("org_x", ["modules.json", "config.json"], Layout.SENTENCE_TRANSFORMERS, "org_x"),
        ("x", ["modules.json"], Layout.MODEL_FOLDER, "x"),
        ("x", ["config.json", "model.safetensors"], Layout.MODEL_FOLDER, "x"),
    ],
)
def test_a_folder_is_recognized(
    tmp_path: Path, folder: str, names: list[str], layout: Layout, name: str
) -> None:
    path = made(tmp_path / folder, *names)
    assert recognize(path, os.listdir(path)) == FoundModel(layout, path, name)


@pytest.mark.parametrize("names", [["notes.txt"], [STEM], [f"{STEM}.json"], ["abc", "abc.json"], []])
def test_other_folders_are_not(tmp_path: Path, names: list[str]) -> None:
    path = made(tmp_path / "models--org--x", *names)
    path.mkdir(exist_ok=True)
    assert recognize(path, names) is None


def test_spacy_packages_are_found_beside_others(tmp_path: Path) -> None:
    made(tmp_path, "de_tiny/de_tiny-1.0.0/config.cfg", "de_other/x.py", "spacy/spacy-3/config.cfg")
    assert recognize_spacy_packages(tmp_path, os.listdir(tmp_path)) == [
        FoundModel(Layout.SPACY_PACKAGE, tmp_path / "de_tiny", "de_tiny-1.0.0")
    ]


@pytest.mark.parametrize("name", ["org/Model", "ORG/model", "org_model", "Model", "org--model"])
def test_a_model_is_known_by_its_repository_in_any_case(name: str) -> None:
    found = FoundModel(Layout.MODEL_FOLDER, Path("/x"), name)
    assert found.is_of("org/model")
    assert not found.is_of("org/other")


def test_a_snapshot_has_name_and_commit() -> None:
    hint = snapshot_hint(PurePosixPath("snapshots/abc/sub/config.json"), "org/x")
    assert hint == FileHint("sub/config.json", "abc", "org/x")
    assert snapshot_hint(PurePosixPath("blobs/abc"), "org/x") == FileHint("", "", "org/x")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (
            "https://huggingface.co/org/x/resolve/main/sub/vocab.txt",
            FileHint("sub/vocab.txt", "main", "org/x"),
        ),
        ("https://huggingface.co/gpt2/resolve/main/config.json", FileHint("config.json", "main", "gpt2")),
        ("https://cdn.huggingface.co/org/x/pytorch_model.bin", FileHint("pytorch_model.bin", "", "org/x")),
        ("ftp://else", FileHint()),
    ],
)
def test_the_note_of_an_old_download_has_its_address(tmp_path: Path, url: str, hint: FileHint) -> None:
    made(tmp_path, STEM)
    (tmp_path / f"{STEM}.json").write_text(json.dumps({"url": url, "etag": "x"}))
    assert file_hint(FoundModel(Layout.TRANSFORMERS, tmp_path, ""), tmp_path / STEM) == hint


@pytest.mark.parametrize("note", [b"", b"[]", b"{", b"\xff" * 100_000])
def test_a_broken_note_says_nothing(tmp_path: Path, note: bytes) -> None:
    made(tmp_path, STEM)
    (tmp_path / f"{STEM}.json").write_bytes(note)
    assert file_hint(FoundModel(Layout.TRANSFORMERS, tmp_path, ""), tmp_path / STEM) == FileHint()


def test_a_local_dir_has_the_commit_in_its_metadata(tmp_path: Path) -> None:
    made(tmp_path, "sub/config.json", ".cache/huggingface/download/sub/config.json.metadata")
    note = tmp_path / ".cache/huggingface/download/sub/config.json.metadata"
    note.write_text(f"{'a' * 40}\netag\n1.0\n")
    found = FoundModel(Layout.LOCAL_DIR, tmp_path, "m")
    assert file_hint(found, tmp_path / "sub/config.json") == FileHint("sub/config.json", "a" * 40, "m")
    assert file_hint(found, tmp_path / "other").revision == ""
