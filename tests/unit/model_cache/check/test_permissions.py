"""The least remedy for a path that is in the way: from owner, group and mode alone."""

import os
from pathlib import Path
from typing import Final

import pytest

from model_cache.check.permissions import Identity, advice, blocking_path, described

NOBODYS: Final = 54_321


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a file"
    path.write_text("")
    path.chmod(0o000)
    return path


def me(file: Path, *, uid: int | None = None, groups: frozenset[int] = frozenset()) -> Identity:
    """Somebody who is the file's owner, unless another uid is given; nobody of these is root."""
    return Identity(file.stat().st_uid if uid is None else uid, NOBODYS, groups)


def test_a_members_remedy_is_the_groups_mode_and_needs_no_owner_change(file: Path) -> None:
    groups = frozenset({file.stat().st_gid})
    text = advice(file, me(file, uid=NOBODYS, groups=groups), write=False)
    assert f"chmod g+r '{file}'`" in text
    assert "chown" not in text


def test_a_strangers_remedy_names_the_owner_and_a_cache_of_ones_own(file: Path) -> None:
    text = advice(file, me(file, uid=NOBODYS), write=True)
    assert text.startswith("ask its owner ")
    assert f"chmod g+rw '{file}'`" in text
    assert "HF_HUB_CACHE" in text


def test_roots_folder_is_never_given_to_a_user_unless_it_lies_inside_the_users_own() -> None:
    text = advice(Path("/usr"), Identity(NOBODYS, NOBODYS, frozenset()), write=True)
    assert "chown" not in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(("owner", "command"), [(0, "sudo chown"), (NOBODYS, "chmod u+rwx")])
def test_inside_a_users_own_folder_one_command_for_one_path_helps(
    tmp_path: Path, owner: int, command: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(tmp_path, NOBODYS, NOBODYS)
    os.chown(folder, owner, owner)

    text = advice(folder, Identity(NOBODYS, NOBODYS, frozenset()), write=True)

    assert f"`{command}" in text
    assert f" {folder}`" in text
    assert "-R" not in text


def test_what_is_gone_meanwhile_is_no_failure(tmp_path: Path) -> None:
    assert str(tmp_path / "gone") in advice(tmp_path / "gone", None, write=False)


def test_a_path_that_nothing_blocks_is_itself_in_the_way(file: Path) -> None:
    assert blocking_path(file) == file


def test_owner_group_and_mode_are_numbers(file: Path) -> None:
    state = file.stat()
    assert described(file) == f"{state.st_uid}:{state.st_gid} with mode 0000"
