"""Metadata of installed packages that is broken: the package is not used, and nothing fails."""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.artifacts.installed_package import find_installed
from cache_warmer.transfer.hashing import hash_file
from model_cache.catalog.catalog import SpacySource

SOURCE: Final = SpacySource("de_tiny", "1.0.0", "https://x.test/de_tiny-1.0.0-py3-none-any.whl", "b" * 64)
CONTENT: Final = b"content"
HASH: Final = base64.urlsafe_b64encode(hashlib.sha256(CONTENT).digest()).decode().rstrip("=")
ROW: Final = f"de_tiny/file,sha256={HASH},{len(CONTENT)}\n"


@pytest.fixture
def dist_info(tmp_path: Path) -> Path:
    """Write a package that can be verified; return the folder of its metadata."""
    folder = tmp_path / "de_tiny-1.0.0.dist-info"
    for path in (folder, tmp_path / "de_tiny"):
        path.mkdir()
    (tmp_path / "de_tiny/file").write_bytes(CONTENT)
    (folder / "RECORD").write_text(ROW)
    (folder / "direct_url.json").write_text(json.dumps({"archive_info": {"hashes": {"sha256": "b" * 64}}}))
    return folder


def is_used(dist_info: Path) -> bool:
    return find_installed(SOURCE, [dist_info.parent], hash_file) is not None


@pytest.mark.parametrize(
    "more", ["", "\n", "\n\n", "de_tiny/__pycache__/x.pyc,,\n", "../../bin/tool.pyc,,\n"]
)
def test_a_package_is_verified_by_its_metadata(dist_info: Path, more: str) -> None:
    (dist_info / "RECORD").write_text(ROW + more)
    assert is_used(dist_info)


def test_the_older_form_of_the_hash_is_understood(dist_info: Path) -> None:
    (dist_info / "direct_url.json").write_text(json.dumps({"archive_info": {"hash": f"sha256={'b' * 64}"}}))
    assert is_used(dist_info)


@pytest.mark.parametrize(
    "document",
    [
        b"5",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        b'{"archive_info": 5}',
        b'{"archive_info": []}',
        b'{"archive_info": {"hashes": []}}',
        b'{"archive_info": {"hashes": 5, "hash": 5}}',
        b'{"archive_info": {"hashes": {"sha256": ["b"]}}}',
        b'{"dir_info": {"editable": true}}',
        b'{"vcs_info": {"vcs": "git"}}',
    ],
)
def test_a_direct_url_of_another_shape_proves_nothing(dist_info: Path, document: bytes) -> None:
    (dist_info / "direct_url.json").write_bytes(document)
    assert not is_used(dist_info)


@pytest.mark.parametrize(
    "rows",
    [
        ",,\n",
        '"",sha256=x,1\n',
        ".\n",
        "/\n",
        "a\n",
        "a,\n",
        '"open\n',
        "a,md5=x,1\n",
        "..\n",
        "\x00,,\n",
        "de_tiny/gone,sha256=x,1\n",
    ],
)
def test_a_record_with_a_row_of_another_shape_proves_nothing(dist_info: Path, rows: str) -> None:
    (dist_info / "RECORD").write_text(ROW + rows)
    assert not is_used(dist_info)


def test_a_record_with_an_endless_field_proves_nothing(dist_info: Path) -> None:
    (dist_info / "RECORD").write_text("x" * 1_000_000)
    assert not is_used(dist_info)


@pytest.mark.parametrize(
    "name", ["de_tiny/file", "de_tiny-1.0.0.dist-info/RECORD", "de_tiny-1.0.0.dist-info/direct_url.json"]
)
def test_a_fifo_is_not_waited_for(dist_info: Path, name: str) -> None:
    (dist_info.parent / name).unlink()
    os.mkfifo(dist_info.parent / name)
    assert not is_used(dist_info)
