"""Files of other owners: the error names their paths, and its remedy is minimal and solves the problem."""

import json
import os
import re
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from tests.service.host.homes import Home, listing
from tests.service.host.users import User, new_user
from tests.support.fake_hub import Fault, FaultKind

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
UID, OTHER, GROUP = 40_001, 40_002, 40_100


def warm_as(user: User, home: Home, *more: str, **environ: str) -> tuple[int, str, str]:
    return user.run("cache-warmer", arguments(home, "warm", *more), environ)


def arguments(home: Home, command: str, *more: str) -> list[str]:
    given = home.workspace.arguments(command, "--quiet", *more)
    given[given.index("--cache") + 1] = "host"
    return given


def check_as(user: User, home: Home, *more: str, **environ: str) -> tuple[int, dict[str, object]]:
    options = [*home.catalog_options, "--cache", "host", "--format", "json", *more]
    code, out, _ = user.run("cache-check", options, environ)
    return code, json.loads(out)


def commands_in(text: str) -> list[list[str]]:
    """Return the commands of a remedy, without sudo, which these tests do not need."""
    return [shlex.split(found.removeprefix("sudo ")) for found in re.findall(r"`((?:sudo )?ch[^`]+)`", text)]


def make_as_root(*folders: Path, mode: int = 0o755) -> None:
    for folder in folders:
        folder.mkdir(parents=True)
        folder.chmod(mode)


def give_to(user: User) -> None:
    for path in [user.home, *user.home.rglob("*")]:
        os.lchown(path, user.uid, user.uid)


def test_a_user_with_an_empty_home_needs_no_permissions(home: Home, tmp_path: Path) -> None:
    user = new_user(UID, tmp_path)

    assert warm_as(user, home)[0] == 0
    assert check_as(user, home, "--deep")[0] == 0
    owners = {path.lstat().st_uid for path in user.home.rglob("*")}
    assert owners == {UID}


def test_all_folders_of_root_are_named_and_the_remedy_works(home: Home, tmp_path: Path) -> None:
    user = new_user(UID, tmp_path)
    hub = user.home / ".cache/huggingface/hub"
    spacy = user.home / ".local/share/spacy"
    make_as_root(hub, spacy)
    give_to(user)
    blobs = hub / "models--org--first/blobs"
    make_as_root(blobs, hub / "models--org--first/snapshots", spacy / ".packages")

    code, _, err = warm_as(user, home)

    assert code == 31, err
    blocking = {str(blobs), str(hub / "models--org--first/snapshots"), str(spacy / ".packages")}
    assert {command[2] for command in commands_in(err)} == blocking
    assert all(command[:2] == ["chown", f"{UID}:{UID}"] for command in commands_in(err)), err
    assert "0:0 with mode 0755" in err
    assert home.workspace.hub.log.bytes_sent("*/resolve/*") == 0

    for command in commands_in(err):
        subprocess.run(command, check=True)
    code, _, err = warm_as(user, home)
    assert code == 0, err


def test_a_read_only_cache_of_others_is_used_unchanged(home: Home, tmp_path: Path) -> None:
    shared = {"HF_HUB_CACHE": str(tmp_path / "srv/hub"), "SPACY_DATA": str(tmp_path / "srv/spacy")}
    home.workspace.environ |= shared
    assert home.warm().reason == "OK"
    user = new_user(UID, tmp_path)
    before = listing(tmp_path / "srv")
    home.workspace.hub.log.clear()

    code, out, err = warm_as(user, home, **shared)

    assert code == 0, err
    assert json.loads(out)["bytes_fetched"] == 0
    assert check_as(user, home, "--deep", **shared)[0] == 0
    assert listing(tmp_path / "srv") == before
    assert home.workspace.hub.log.bytes_sent("*resolve*") == 0


def test_an_unreadable_file_is_named_and_the_remedy_works(home: Home, tmp_path: Path) -> None:
    user = new_user(UID, tmp_path)
    assert warm_as(user, home)[0] == 0
    blob = next(user.home.glob(".cache/huggingface/hub/models--org--first/snapshots/*/config.json")).resolve()
    os.chown(blob, 0, 0)
    blob.chmod(0o600)

    code, document = check_as(user, home)

    assert (code, document["reason"]) == (31, "NO_PERMISSION")
    (command,) = commands_in(json.dumps(document))
    assert command == ["chown", f"{UID}:{UID}", str(blob)]
    subprocess.run(command, check=True)
    assert check_as(user, home, "--deep")[0] == 0


def test_the_remedy_of_a_wrong_mode_needs_no_root(home: Home, tmp_path: Path) -> None:
    user = new_user(UID, tmp_path)
    hub = user.home / ".cache/huggingface/hub"
    make_as_root(hub, mode=0o555)
    give_to(user)

    code, _, err = warm_as(user, home)

    assert code == 31
    assert commands_in(err) == [["chmod", "u+rwx", str(hub)]]


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, str]:
    """Make a cache of a group, as an administrator does: set-group-id and writable for the group."""
    places = {"HF_HUB_CACHE": tmp_path / "srv/hub", "SPACY_DATA": tmp_path / "srv/spacy"}
    for folder in places.values():
        folder.mkdir(parents=True)
        os.chown(folder, 0, GROUP)
        folder.chmod(0o2775)
    return {name: str(folder) for name, folder in places.items()}


@pytest.mark.parametrize("umask", ["022", "002", "077"])
def test_two_users_of_a_group_complete_each_others_models(
    home: Home, tmp_path: Path, shared: dict[str, str], umask: str
) -> None:
    one, two = (new_user(uid, tmp_path, GROUP, umask=umask) for uid in (UID, OTHER))

    assert warm_as(one, home, "--model", "one", **shared)[0] == 0
    home.workspace.hub.log.clear()
    code, _, err = warm_as(two, home, **shared)

    assert code == 0, err
    assert not home.workspace.hub.log.requests("*model.safetensors", method="GET")
    assert check_as(one, home, "--model", "one", "--deep", **shared)[0] == 0
    for folder in [path for path in (tmp_path / "srv").rglob("*") if path.is_dir() and not path.is_symlink()]:
        state = folder.stat()
        assert (state.st_gid, stat.S_IMODE(state.st_mode)) == (GROUP, 0o2775), folder


def test_two_users_can_warm_a_shared_cache_at_once(
    home: Home, tmp_path: Path, shared: dict[str, str]
) -> None:
    home.workspace.hub.faults.add(Fault(FaultKind.SLOW, "model.safetensors", bytes_per_second=2_000_000))
    users = [new_user(uid, tmp_path, GROUP) for uid in (UID, OTHER)]

    started = [user.start("cache-warmer", arguments(home, "warm"), shared) for user in users]
    ended = [(process.communicate(timeout=120), process.returncode) for process in started]

    assert [code for _, code in ended] == [0, 0], ended
    assert [check_as(user, home, "--deep", **shared)[0] for user in users] == [0, 0]
    assert not list((tmp_path / "srv").rglob("*.incomplete"))


def test_the_remedy_for_a_foreign_cache_is_for_owner_and_user(home: Home, tmp_path: Path) -> None:
    owner, user = (new_user(uid, tmp_path) for uid in (OTHER, UID))
    owner.home.chmod(0o755)

    code, _, err = warm_as(user, home, HF_HUB_CACHE=str(owner.home))

    assert code == 31
    assert f"ask its owner uid {OTHER}" in err
    assert "HF_HUB_CACHE" in err
    assert "chown" not in err
