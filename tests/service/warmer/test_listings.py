"""A hub's list of files becomes names and sizes in the cache, so it is validated before it is used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.warmer.archives import everything_below
from tests.service.warmer.fixtures import Workspace
from tests.support.fake_hub import Fault, FaultKind

Row = dict[str, Any]


def rows(workspace: Workspace) -> list[Row]:
    """Return the list of the first repository's files, as its hub sends it."""
    return [
        {
            "type": "file",
            "path": path,
            "size": file.size,
            "oid": file.git_sha1,
            **(
                {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}}
                if file.is_lfs
                else {}
            ),
        }
        for path, file in workspace.repositories[0].files.items()
    ]


def of(listed: list[Row], path: str) -> Row:
    return next(row for row in listed if row["path"] == path)


def sha256_is_a_path(listed: list[Row]) -> None:
    of(listed, "model.safetensors")["lfs"]["oid"] = "../../../../../outside"


def git_hash_is_absolute(listed: list[Row]) -> None:
    of(listed, "config.json")["oid"] = "/tmp/outside"  # the test checks that it is not written


def git_hash_is_short(listed: list[Row]) -> None:
    of(listed, "config.json")["oid"] = "abc"


def a_file_is_a_folder_too(listed: list[Row]) -> None:
    listed.append({**of(listed, "config.json"), "path": "sub/deep"})


def size_is_a_word(listed: list[Row]) -> None:
    of(listed, "config.json")["size"] = "many"


def size_is_negative(listed: list[Row]) -> None:
    of(listed, "config.json")["size"] = -5


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (sha256_is_a_path, "CONTENT_MISMATCH", "'../../../../../outside' as a hash of model.safetensors"),
        (git_hash_is_absolute, "CONTENT_MISMATCH", "'/tmp/outside' as a hash of config.json"),
        (git_hash_is_short, "CONTENT_MISMATCH", "'abc' as a hash"),
        (a_file_is_a_folder_too, "CONTENT_MISMATCH", "'sub/deep', which is a folder of other files"),
        (size_is_a_word, "HUB_UNREACHABLE", "not a hub's"),
        (size_is_negative, "HUB_UNREACHABLE", "not a hub's"),
    ],
)
def test_an_invalid_listing_is_refused_before_a_byte_is_fetched(
    workspace: Workspace, tmp_path: Path, change: Callable[[list[Row]], None], reason: str, message: str
) -> None:
    listed = rows(workspace)
    change(listed)
    fault = Fault(FaultKind.PAGE, "*/first/tree/*", body=json.dumps(listed), content_type="application/json")
    workspace.hub.faults.add(fault)
    before = {name for name in everything_below(tmp_path) if "/cache/" not in name}

    outcome = workspace.warm("one")

    assert outcome.reason == reason
    assert message in outcome.err
    assert workspace.hub.log.bytes_sent("*/resolve/*") == 0
    assert {name for name in everything_below(tmp_path) if "/cache/" not in name} - before == set()
    assert not list(tmp_path.rglob("*outside*"))


def test_the_unchanged_listing_is_valid(workspace: Workspace) -> None:
    body = json.dumps(rows(workspace))
    workspace.hub.faults.add(
        Fault(FaultKind.PAGE, "*/first/tree/*", body=body, content_type="application/json")
    )

    assert workspace.warm("one").reason == "OK"
