"""A small repository on a running fake hub, and a hub client whose session is closed afterwards."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import huggingface_hub
import pytest
from huggingface_hub.utils._http import default_client_factory  # the library offers no way to restore it

from tests.support.fake_hub import FakeHub, Repository

WEIGHTS: Final = bytes(range(256)) * 4096  # 1 MiB: more than a client reads at once
CONFIG: Final = json.dumps({"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2}).encode()


@pytest.fixture(autouse=True)
def library_session() -> None:
    """Use the hub library's own HTTP client, even if a test of the warmer in this process has replaced it."""
    huggingface_hub.set_client_factory(default_client_factory)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Return a repository's files by their paths in it: small ones, one of them below a folder, and weights (LFS)."""
    contents = {
        "config.json": CONFIG,
        "model.safetensors": WEIGHTS,
        "1_Pooling/config.json": b"{}",
        "onnx/model.onnx": b"another format, which nobody shall fetch",
        "vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngut\nschlecht\n",
    }
    made = {}
    for path, content in contents.items():
        made[path] = tmp_path / "files" / path
        made[path].parent.mkdir(parents=True, exist_ok=True)
        made[path].write_bytes(content)
    return made


@pytest.fixture
def repository(files: dict[str, Path]) -> Repository:
    return Repository("qda/small", files)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "de_small-3.8.0-py3-none-any.whl"
    path.write_bytes(b"PK a wheel")
    return path


@pytest.fixture
def hub(repository: Repository, wheel: Path) -> Iterator[FakeHub]:
    with FakeHub([repository], [wheel]) as fake_hub:
        yield fake_hub
        huggingface_hub.close_session()  # Its pool would keep connections to a fake hub that is closed.
