"""A repository whose folder is a link of the same user to another disk: taken as the libraries take it."""

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.service.host.homes import Home
from tests.service.host.test_already_there import FIRST, ONE_BY_ONE

FIRST_FOLDER: Final = "models--org--first"
OFFLINE: Final = """
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], local_files_only=True)
"""


@pytest.fixture
def disk(home: Home) -> Path:
    """Link the folder of a repository, which does not exist yet, to a folder elsewhere; return that."""
    disk = home.path.parent / "disk" / FIRST_FOLDER
    disk.mkdir(parents=True)
    home.hub_cache.mkdir(parents=True)
    (home.hub_cache / FIRST_FOLDER).symlink_to(disk)
    return disk


def test_a_warm_fills_it_and_the_libraries_find_it(home: Home, disk: Path) -> None:
    outcome = home.warm("one")

    assert outcome.reason == "OK", outcome.err
    assert list(disk.glob("blobs/*"))
    assert (home.hub_cache / FIRST_FOLDER).is_symlink()
    assert home.check("--model", "one", "--deep")[0] == 0
    home.plain(OFFLINE, "org/first")


def test_what_the_libraries_stored_there_is_used(home: Home, disk: Path) -> None:
    home.plain(ONE_BY_ONE, "org/first", *FIRST)
    home.workspace.hub.log.clear()

    outcome = home.warm("one")

    assert (outcome.reason, outcome.document["bytes_fetched"]) == ("OK", 0)
    assert not home.workspace.hub.log.requests("*/resolve/*")


def test_a_repository_that_moved_to_another_disk_stays_complete(home: Home) -> None:
    assert home.warm().reason == "OK"
    moved = home.path.parent / "moved"
    shutil.move(home.hub_cache / FIRST_FOLDER, moved)
    (home.hub_cache / FIRST_FOLDER).symlink_to(moved)
    home.workspace.hub.log.clear()

    assert home.check()[0] == 0
    outcome = home.warm()

    assert (outcome.reason, outcome.document["bytes_fetched"]) == ("OK", 0)
    assert not home.workspace.hub.log.requests()


def test_an_inner_link_that_leads_further_is_refused(home: Home, disk: Path) -> None:
    outside = home.path.parent / "outside"
    outside.mkdir()
    (disk / "blobs").symlink_to(outside)

    outcome = home.warm("one")

    assert (outcome.code, outcome.reason) == (32, "VOLUME_UNSUITABLE")
    assert list(outside.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_link_of_another_user_is_refused(home: Home, disk: Path) -> None:
    os.lchown(home.hub_cache / FIRST_FOLDER, 4711, 4711)

    outcome = home.warm("one")

    assert (outcome.code, outcome.reason) == (32, "VOLUME_UNSUITABLE")
    assert list(disk.iterdir()) == []
