"""The documents of an archive: their memory is bounded, whatever they hold."""

import json
import tracemalloc
from typing import Final

import pytest

from cache_warmer.archive.format import (
    MAX_METADATA_BYTES,
    dump_description,
    dump_manifest_member,
    make_contents,
    parse_contents,
)
from cache_warmer.errors import ArchiveInvalid
from model_cache.manifest import FileRecord, ModelRecord
from model_cache.places import PlaceName
from tests.support.cache_trees import SENTIMENT, record_of

# Of the memory that a document of the largest size may take.
MAX_MEMORY: Final = 400 * 2**20


def filled(start: bytes, item: bytes, end: bytes) -> bytes:
    count = (MAX_METADATA_BYTES - len(start) - len(end)) // len(item)
    return start + item * count + end


@pytest.mark.parametrize(
    "description",
    [
        filled(b'{"catalog": [', b"[],", b"0]}"),
        filled(b'{"catalog": {"models": [', b"{},", b"{}]}}"),
        filled(
            b'{"apiVersion": "qda/v1", "kind": "CacheArchive", "blobs": {}, "catalog": "', b"x: y, ", b'"}'
        ),
        filled(
            b'{"apiVersion": "qda/v1", "kind": "CacheArchive", "blobs": {}, "catalog": {"models": [',
            b'{"key": "abcdefghijklmnopqrstuvwxyz", "files": ["abcdefghijklmnopqrstuvwxyz0123456789"]},',
            b"{}]}}",
        ),
    ],
    ids=["lists", "objects", "text", "a catalog"],
)
def test_a_huge_description_takes_bounded_memory(description: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(ArchiveInvalid):
        parse_contents(description, b"{}")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_MEMORY


@pytest.mark.parametrize(
    "description", [b"5", b"null", b"[]", b"{}", b"[" * 100_000, b'{"apiVersion": [], "kind": {}}']
)
def test_a_description_of_another_shape_is_refused(description: bytes) -> None:
    with pytest.raises(ArchiveInvalid):
        parse_contents(description, b"{}")


def test_what_an_export_writes_is_read() -> None:
    folder = f"models--org--mood/snapshots/{'a' * 40}"
    files = [
        FileRecord(PlaceName.HUB, f"{folder}/{name}", 5, "c" * 64)
        for name in ("config.json", "model.safetensors", "sub/x.json")
    ]
    record: ModelRecord = record_of(SENTIMENT, files)
    contents = make_contents([SENTIMENT], [record], {file.path: "c" * 64 for file in files})

    parsed = parse_contents(dump_description(contents), dump_manifest_member(contents))

    assert parsed == contents
    assert json.loads(dump_description(contents))["kind"] == "CacheArchive"
