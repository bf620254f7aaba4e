"""`cache-warmer collect` on a host: what another project fetched stays, what we fetched goes."""

import io
import os
from typing import Final

import yaml

from cache_warmer.cli import cache_warmer
from tests.service.host.homes import Home
from tests.service.warmer.fixtures import catalog_of

PINNED: Final = """
from huggingface_hub import hf_hub_download
for name in sys.argv[3:]:
    hf_hub_download(sys.argv[1], name, revision=sys.argv[2])
"""
FIRST: Final = ("config.json", "sub/deep/vocab.txt", "model.safetensors")


def fetch_elsewhere(home: Home) -> None:
    """Fetch the files of the first repository as another project does, by commit."""
    home.plain(PINNED, "org/first", home.workspace.repositories[0].commit, *FIRST)


def collect_after_a_new_catalog(home: Home) -> None:
    catalog = catalog_of(home.workspace.repositories, home.workspace.wheel)
    catalog["models"] = catalog["models"][2:]
    home.workspace.catalog.write_text(yaml.safe_dump(catalog), "utf-8")
    assert home.warm().reason == "OK"
    arguments = ["collect", *home.catalog_options, "--cache", "host", "--keep", "0", "--apply", "--quiet"]
    assert cache_warmer(arguments, home.workspace.environ, io.StringIO(), io.StringIO()) == 0


def test_what_was_only_found_stays_and_what_was_fetched_goes(home: Home) -> None:
    fetch_elsewhere(home)
    assert home.warm("one", "two").reason == "OK"

    collect_after_a_new_catalog(home)

    assert len(list(home.hub_cache.glob("models--org--first/snapshots/*/*"))) == 3
    assert not list(home.hub_cache.glob("models--org--second/snapshots/*/*"))


def test_what_another_project_fetched_anew_after_us_stays(home: Home) -> None:
    assert home.warm("one", "two").reason == "OK"
    blobs = home.hub_cache / "models--org--first/blobs"
    for path in blobs.iterdir():  # as deleted, and fetched anew by another project later on
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        os.utime(path, (2e9, 2e9))
    assert home.warm("one", "two").reason == "OK"

    collect_after_a_new_catalog(home)

    assert len(list(home.hub_cache.glob("models--org--first/snapshots/*/*"))) == 3


def test_what_we_fetched_for_a_former_catalog_is_still_ours_in_the_next(home: Home) -> None:
    assert home.warm("one").reason == "OK"
    text = home.workspace.catalog.read_text("utf-8")
    home.workspace.catalog.write_text(text.replace("key: one", "key: renamed"), "utf-8")
    assert home.warm("renamed").document["bytes_fetched"] == 0

    collect_after_a_new_catalog(home)

    assert not list(home.hub_cache.glob("models--org--first/snapshots/*/*"))
