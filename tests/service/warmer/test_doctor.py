"""`cache-warmer doctor` as a program: what a hub answers, and folders that are closed to this user."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.service.host.users import new_user
from tests.service.warmer.fixtures import Workspace, write_files
from tests.support.explained import explained
from tests.support.fake_hub import FakeHub, Repository, self_signed_certificate

TOKEN: Final = "hf_not_to_be_seen"


def doctor(workspace: Workspace, endpoint: str, *more: str, **environ: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "cache_warmer", "doctor", "--catalog", str(workspace.catalog), "--cache"]
    command += [str(workspace.cache), "--hub", endpoint, "--format", "json", *more]
    ended = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ended.stderr
    assert TOKEN not in ended.stdout + ended.stderr
    return ended.returncode, explained(json.loads(ended.stdout))


def errors(document: dict[str, Any]) -> list[str]:
    return [f"{one['check']}: {one['reason']}" for one in document["findings"] if one["severity"] == "error"]


def messages(document: dict[str, Any]) -> str:
    return "\n".join(one["message"] for one in document["findings"])


@pytest.fixture
def gated(workspace: Workspace, tmp_path: Path) -> Workspace:
    workspace.hub.add(Repository("org/gated", write_files(tmp_path / "gated", {"a": b"a"}), token=TOKEN))
    return workspace


def test_a_hub_that_answers_is_told_and_no_request_is_sent_without_online(gated: Workspace) -> None:
    code, document = doctor(gated, gated.endpoint)
    assert (code, gated.hub.log.requests()) == (0, ())

    code, document = doctor(gated, gated.endpoint, "--online", HF_TOKEN=TOKEN)
    assert (code, errors(document)) == (0, [])
    assert "answers, and has org/first" in messages(document)
    assert "accepts the token" in messages(document)
    assert not gated.cache.exists()


def test_a_token_that_is_not_accepted_a_certificate_and_a_closed_port_are_errors(
    gated: Workspace, tmp_path: Path
) -> None:
    code, document = doctor(gated, gated.endpoint, "--online", HF_TOKEN="hf_of_nobody")
    assert (code, errors(document)) == (20, ["token: HUB_UNAUTHORIZED"])

    with FakeHub(gated.repositories, [gated.wheel], tls=self_signed_certificate(tmp_path)) as secure:
        code, document = doctor(gated, secure.url, "--online")
    assert (code, errors(document)) == (23, ["hub: HUB_UNTRUSTED"])

    code, document = doctor(gated, "http://127.0.0.1:9", "--online")
    assert (code, errors(document)) == (22, ["hub: HUB_UNREACHABLE"])


def test_folders_that_are_closed_to_this_user_are_named_with_a_remedy(
    workspace: Workspace, tmp_path: Path
) -> None:
    assert workspace.warm().reason == "OK"
    blobs = next(workspace.cache.rglob("blobs"))
    blobs.chmod(0o000)
    user = new_user(4321, tmp_path)
    arguments = [
        "doctor",
        "--catalog",
        str(workspace.catalog),
        "--cache",
        str(workspace.cache),
        "--format",
        "json",
    ]

    code, out, err = user.run("cache-warmer", arguments, {})

    assert (code, err) == (31, "")
    document = json.loads(out)
    assert "place: NO_PERMISSION" in errors(document)
    closed = next(one for one in document["findings"] if one["check"] == "closed")
    assert str(blobs) in closed["paths"]
    assert closed["remedy"]


def test_a_closed_home_is_one_finding_for_all_places_in_it(workspace: Workspace, tmp_path: Path) -> None:
    user = new_user(4322, tmp_path)
    os.chown(user.home, 0, 0)
    code, out, _ = user.run("cache-warmer", ["doctor", "--format", "json"], {})
    document = json.loads(out)
    assert (code, errors(document)) == (31, ["place: NO_PERMISSION"])
    assert len(document["findings"][0]["paths"]) == 4
