"""Layers of an image: what is verified though another entry has its content already."""

import io
import tarfile

import pytest

from cache_warmer.archive.image_layers import Layer, Write
from model_cache.errors import UsageError
from model_cache.manifest import FileRecord
from model_cache.places import PlaceName


def record(path: str) -> FileRecord:
    return FileRecord(PlaceName.HUB, path, 3, "0" * 64)


def test_a_file_whose_content_is_in_the_layer_is_verified_but_not_written_again() -> None:
    blob, repeated = record("models--a--b/snapshots/c/one"), record("models--a--b/snapshots/c/two")
    layer = Layer("model", {"blobs/d": blob}, (repeated,))
    verified, out = [], io.BytesIO()

    def copy_content(file: FileRecord, write: Write) -> None:
        verified.append(file)
        write(b"abc")

    layer.write(out.write, copy_content)

    assert verified == [blob, repeated]
    assert len(out.getvalue()) == layer.size()
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as written:
        assert [(member.name, member.size) for member in written] == [("blobs", 0), ("blobs/d", 3)]


@pytest.mark.parametrize("name", [".wh.config.json", "models--a--b/.wh..wh..opq", "a/.wh.b/c"])
def test_a_name_that_would_delete_a_file_in_a_container_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be in an image"):
        Layer("model", {"config.json": b"{}", name: b"x"})


def test_a_name_with_the_same_letters_elsewhere_is_a_name() -> None:
    assert Layer("model", {"a.wh.b": b"x", "wh.c": b"x"}).size() > 0
