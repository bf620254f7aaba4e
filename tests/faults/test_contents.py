"""Unusual contents of a hub: unsafe file names, weights that run code when unpickled, two hundred models."""

import pickle
import unicodedata
from pathlib import Path
from typing import Final

import pytest

from tests.faults.fixtures import Workspace, entry, files_of, random_bytes
from tests.faults.independent_check import whole_generations
from tests.support.fake_hub import FakeHub, Repository

UNSAFE: Final = {
    "parent": "../../outside.txt",
    "parent in the middle": "a/../../../outside.txt",
    "absolute": "/tmp/outside.txt",  # never written, as the test shows
    "nul": "a\0b.txt",
    "three hundred characters": "x" * 300 + ".txt",
    "backslash": "..\\outside.txt",
    "empty part": "a//b.txt",
    "only dots": "..",
}


@pytest.mark.parametrize("name", UNSAFE.values(), ids=UNSAFE)
def test_an_unsafe_file_name_of_a_hub_is_refused_and_writes_nothing(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    repository = Repository("org/odd", files_of({"config.json": b"{}", name: b"outside"}, tmp_path / "odd"))
    with FakeHub([repository]) as hub:
        workspace.hub = hub
        before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
        catalog = workspace.catalog("odd", [entry("odd", "sentiment", repository, ["*"])])

        refused = workspace.run(catalog)

        assert (refused.reason, refused.code) == ("CONTENT_MISMATCH", 26), refused.err
        assert not list(workspace.cache.rglob("outside*"))
        assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} - before == {catalog}
        assert whole_generations(workspace.cache) == frozenset()


def test_a_name_in_unicode_nfd_is_not_normalized(workspace: Workspace, tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "wörter/größe.txt")
    repository = Repository("org/nfd", files_of({"config.json": b"{}", name: b"ein"}, tmp_path / "nfd"))
    with FakeHub([repository]) as hub:
        workspace.hub = hub
        catalog = workspace.catalog("nfd", [entry("nfd", "sentiment", repository, ["*"])])

        assert workspace.run(catalog).reason == "OK"

        assert workspace.is_whole(catalog)
        found = {str(path.relative_to(workspace.cache)) for path in workspace.cache.rglob("*.txt")}
        assert any(path.endswith(name) for path in found), found


class Trap:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_that_would_run_code_is_stored_and_never_loaded(
    workspace: Workspace, tmp_path: Path
) -> None:
    sprung = tmp_path / "sprung"
    content = pickle.dumps(Trap(sprung))
    repository = Repository("org/trap", files_of({"pytorch_model.bin": content}, tmp_path / "trap"))
    with FakeHub([repository]) as hub:
        workspace.hub = hub
        catalog = workspace.catalog("trap", [entry("trap", "sentiment", repository)])

        assert workspace.run(catalog).reason == "OK"
        assert workspace.is_whole(catalog)

    assert not sprung.exists()


def test_a_catalog_of_two_hundred_models_is_warmed_in_one_run(workspace: Workspace, tmp_path: Path) -> None:
    repositories = [
        Repository(
            f"org/model-{number}",
            files_of(
                {"config.json": b'{"n": %d}' % number, "model.safetensors": random_bytes(50_000, number)},
                tmp_path / f"model-{number}",
            ),
        )
        for number in range(200)
    ]
    with FakeHub(repositories) as hub:
        workspace.hub = hub
        tasks = ("sentiment", "embedding", "paraphrase")
        models = [entry(f"m{n}", tasks[n % 3], one) for n, one in enumerate(repositories)]
        catalog = workspace.catalog("many", models)

        assert workspace.run(catalog).reason == "OK"

        assert workspace.is_whole(catalog)
        hub.log.clear()
        again = workspace.run(catalog)
        assert again.document["bytes_fetched"] == 0
        assert hub.log.requests() == ()
