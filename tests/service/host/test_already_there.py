"""Files that the plain libraries fetched before are verified, used and not changed."""

import os
import shutil
from collections.abc import Mapping
from typing import Final

import pytest

from model_cache.catalog.catalog import model_digest
from model_cache.catalog.parse import load_catalog
from tests.service.host.homes import Entry, Home, listing
from tests.service.warmer.fixtures import BIG

SNAPSHOT: Final = """
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], allow_patterns=sys.argv[2:] or None)
"""
ONE_BY_ONE: Final = """
from huggingface_hub import hf_hub_download
for name in sys.argv[2:]:
    hf_hub_download(sys.argv[1], name)
"""
FIRST: Final = ("config.json", "sub/deep/vocab.txt", "model.safetensors")


def changed_paths(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[str]:
    """Return the former paths that were changed or deleted."""
    return [path for path, entry in before.items() if after.get(path) != entry]


@pytest.mark.parametrize("program", [SNAPSHOT, ONE_BY_ONE], ids=["snapshot_download", "file by file"])
def test_files_of_the_hub_client_are_used(home: Home, program: str) -> None:
    home.plain(program, "org/first", *FIRST)
    before = listing(home.path)
    home.workspace.hub.log.clear()

    outcome = home.warm("one")

    assert (outcome.reason, outcome.document["bytes_fetched"]) == ("OK", 0)
    assert not home.workspace.hub.log.requests("*/resolve/*")
    assert changed_paths(before, listing(home.path)) == []
    assert home.check("--model", "one", "--deep")[0] == 0


def test_only_files_that_the_hub_client_lacks_are_fetched(home: Home) -> None:
    home.plain(ONE_BY_ONE, "org/first", "model.safetensors")
    before = listing(home.path)
    home.workspace.hub.log.clear()

    outcome = home.warm("one")

    assert 0 < outcome.document["bytes_fetched"] < 100
    assert not home.workspace.hub.log.requests("*model.safetensors")
    assert changed_paths(before, listing(home.path)) == []


def fill_home(home: Home) -> None:
    """Fill a home as after years of use: other repositories, revisions and refs, a token, a broken download."""
    hub = home.hub_cache
    files = {
        hub.parent / "token": "hf_secret",
        hub / "version.txt": "1",
        hub / "models--somebody--else/blobs/0123": "weights",
        hub / "models--somebody--else/refs/main": "e" * 40,
        hub / f"models--org--first/snapshots/{'f' * 40}/config.json": "{}",
        hub / "models--org--first/refs/main": "f" * 40,
        hub / "models--org--first/.no_exist/x/added_tokens.json": "",
        hub / ".locks/models--org--first/abc.lock": "",
        hub / "datasets--org--data/refs/main": "d" * 40,
        home.path / ".cache/torch/hub/checkpoints/resnet.pth": "resnet",
        home.path / ".cache/torch/sentence_transformers/org_second/modules.json": "[]",
        home.spacy / "en_other/meta.json": "{}",
        home.spacy / "en_other-1.0.dist-info/RECORD": "",
        home.path / ".cache/pip/http/x": "pip's",
    }
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    snapshot = hub / f"models--somebody--else/snapshots/{'e' * 40}"
    snapshot.mkdir(parents=True)
    (snapshot / "model.bin").symlink_to("../../blobs/0123")
    (hub.parent / "token").chmod(0o600)
    weights = home.workspace.repositories[0].files["model.safetensors"]
    (hub / f"models--org--first/blobs/{weights.sha256}.incomplete").parent.mkdir(exist_ok=True)
    (hub / f"models--org--first/blobs/{weights.sha256}.incomplete").write_bytes(b"of an older hub client")
    second = home.path / ".cache/torch/sentence_transformers/models--org--second"
    second.symlink_to(home.path / "elsewhere")  # absolute and dangling: a drive that is not mounted now


def test_in_a_used_home_no_file_of_others_changes(home: Home) -> None:
    fill_home(home)
    before = listing(home.path)

    assert home.warm().reason == "OK"
    assert home.warm().document["bytes_fetched"] == 0

    assert changed_paths(before, listing(home.path)) == []
    assert home.check("--deep")[0] == 0
    assert not list(home.hub_cache.glob("*/trees"))


def test_a_foreign_ref_stays_and_cache_check_explains_it(home: Home) -> None:
    fill_home(home)
    home.warm()

    code, document = home.check()

    assert code == 0
    (note,) = document["notes"]
    assert str(home.hub_cache / "models--org--first/refs/main") in note
    assert "f" * 40 in note
    assert f'revision="{home.workspace.repositories[0].commit}"' in note


def test_the_shared_blobs_of_newer_hub_clients_are_used(home: Home) -> None:
    """Use the layout of huggingface_hub 2.4: blobs are links into a store beside the repositories."""
    home.plain(SNAPSHOT, "org/first", *FIRST)
    store = home.hub_cache / "blobs"
    weights = home.workspace.repositories[0].files["model.safetensors"]
    blob = home.hub_cache / "models--org--first/blobs" / weights.sha256
    shared = store / "ab" / ("ab" + "0" * 62)
    shared.parent.mkdir(parents=True)
    (store / ".huggingface-shared-blobs").write_text("1\n")
    blob.rename(shared)
    shared.chmod(0o400)
    blob.symlink_to(os.path.relpath(shared, blob.parent))
    before = listing(home.path)

    outcome = home.warm("one")

    assert (outcome.reason, outcome.document["bytes_fetched"]) == ("OK", 0)
    assert changed_paths(before, listing(home.path)) == []
    assert home.check("--model", "one", "--deep")[0] == 0


def test_a_damaged_blob_is_replaced_by_a_new_file(home: Home) -> None:
    home.plain(SNAPSHOT, "org/first", *FIRST)
    weights = home.workspace.repositories[0].files["model.safetensors"]
    blob = home.hub_cache / "models--org--first/blobs" / weights.sha256
    blob.write_bytes(b"\0" * BIG)  # the right size: the hub client would not notice
    before = blob.stat().st_ino

    assert home.warm("one").reason == "OK"

    assert blob.stat().st_ino != before
    assert home.check("--model", "one", "--deep")[0] == 0


def test_only_a_removed_model_is_fetched_again(home: Home) -> None:
    fill_home(home)
    home.warm()
    folder = home.hub_cache / "models--org--second"
    others = {path: entry for path, entry in listing(home.path).items() if "org--second" not in path}
    record = model_digest(
        load_catalog(home.workspace.catalog).model("two")
    )  # says when its files were fetched
    for name in ("lock", "status.json", f"models/{record}.json"):  # each such run writes them
        del others[f".cache/qda-worker/{name}"]
    shutil.rmtree(folder)
    home.workspace.hub.log.clear()

    assert home.check()[0] == 10
    assert home.warm().reason == "OK"

    assert changed_paths(others, listing(home.path)) == []
    assert not home.workspace.hub.log.requests("*org/first*")
    assert not home.workspace.hub.log.requests("/wheels/*")
    assert home.check("--deep")[0] == 0


def test_without_records_all_files_are_verified_and_none_fetched(home: Home) -> None:
    home.warm()
    shutil.rmtree(home.path / ".cache/qda-worker")
    before = listing(home.path)
    home.workspace.hub.log.clear()

    assert home.check()[0] == 10
    outcome = home.warm()

    assert (outcome.reason, outcome.document["bytes_fetched"]) == ("OK", 0)
    assert home.workspace.hub.log.bytes_sent("/lfs/*") == 0
    assert changed_paths(before, listing(home.path)) == []
    assert home.check("--deep")[0] == 0


def test_each_place_has_its_size_and_what_chose_it(home: Home) -> None:
    home.workspace.environ |= {
        "QDA_RECORDS": str(home.path / "records"),
        "XDG_CACHE_HOME": str(home.path / "x"),
    }
    home.warm()

    _, document = home.check()

    by_name = {place["name"]: place for place in document["places"]}
    assert list(by_name) == ["huggingface", "spacy", "torch", "model-cache"]
    assert list(document["places"][0]) == ["name", "path", "chosen_by", "bytes", "files"]
    assert by_name["model-cache"]["path"] == str(home.path / "records")
    assert [place["chosen_by"] for place in by_name.values()] == [
        "XDG_CACHE_HOME", "default", "XDG_CACHE_HOME", "QDA_RECORDS",
    ]  # fmt: skip
    for unit in ("bytes", "files"):
        assert sum(place[unit] for place in document["places"]) == document[unit]
        assert by_name["spacy"][unit] == document["models"][2][unit] > 0
