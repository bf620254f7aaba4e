"""Layers of an image: what is verified though another entry has its content already."""

import io
import tarfile

from cache_warmer.archive.image_layers import Layer, Write
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
