"""Reading and writing manifests and model records."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_cache.errors import ManifestInvalid
from model_cache.manifest import (
    FetchedFile,
    FileRecord,
    Manifest,
    ModelRecord,
    dump_manifest,
    dump_model_record,
    parse_manifest,
    parse_model_record,
)
from model_cache.places import PlaceName
from model_cache.reasons import Reason

_HEX64: Final = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
_PATHS: Final = st.lists(st.from_regex(r"[a-zäöüß0-9 _-]{1,8}", fullmatch=True), min_size=1, max_size=4).map(
    "/".join
)
_FILES: Final = st.builds(
    FileRecord, place=st.sampled_from(PlaceName), path=_PATHS, bytes=st.integers(0, 2**62), sha256=_HEX64
)
_MODELS: Final = st.builds(
    ModelRecord,
    digest=_HEX64,
    key=st.text(),
    source=st.text(),
    revision=st.text(),
    files=st.lists(_FILES, max_size=3).map(tuple),
    fetched=st.just(()),
)
_FETCHED: Final = st.builds(
    FetchedFile, place=st.sampled_from(PlaceName), path=_PATHS, mtime=st.integers(-(2**40), 2**40)
)
_MANIFESTS: Final = st.builds(Manifest, generation=_HEX64, models=st.lists(_MODELS, max_size=3).map(tuple))


@given(_MANIFESTS)
def test_a_manifest_is_read_back_as_it_was(manifest: Manifest) -> None:
    content = dump_manifest(manifest)
    assert parse_manifest(content) == manifest
    assert dump_manifest(parse_manifest(content)) == content
    assert content.endswith(b"}\n")
    assert content.count(b"\n") == 1


@given(_MODELS, st.lists(_FETCHED, max_size=3).map(tuple))
def test_a_record_is_read_back_as_it_was(record: ModelRecord, fetched: tuple[FetchedFile, ...]) -> None:
    record = record._replace(fetched=fetched)
    assert parse_model_record(dump_model_record(record)) == record


@given(_MODELS)
def test_a_manifest_does_not_tell_who_fetched_its_files(record: ModelRecord) -> None:
    fetched = record._replace(fetched=(FetchedFile(PlaceName.HUB, "a", 1),))
    assert dump_manifest(Manifest("0" * 64, (fetched,))) == dump_manifest(Manifest("0" * 64, (record,)))


@given(_MODELS, st.data())
def test_a_truncated_record_is_refused(record: ModelRecord, data: st.DataObject) -> None:
    content = dump_model_record(record)
    cut = data.draw(st.integers(0, len(content) - 2))
    with pytest.raises(ManifestInvalid) as caught:
        parse_model_record(content[:cut])
    assert caught.value.reason is Reason.CACHE_CORRUPT


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        parse_manifest(content)


def test_a_manifest_is_not_a_model_record() -> None:
    with pytest.raises(ManifestInvalid, match="not a ModelRecord"):
        parse_model_record(dump_manifest(Manifest("0" * 64, ())))


def test_true_is_not_a_size() -> None:
    file = FileRecord(PlaceName.HUB, "a", 1, "0" * 64)
    content = dump_model_record(ModelRecord("0" * 64, "k", "s", "r", (file,)))
    with pytest.raises(ManifestInvalid, match="size of True"):
        parse_model_record(content.replace(b'"bytes":1', b'"bytes":true'))
