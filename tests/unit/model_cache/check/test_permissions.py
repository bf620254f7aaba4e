"""Remedies for missing permissions, from owner, group and mode."""

import os
from pathlib import Path
from typing import Final

import pytest

from model_cache.check.permissions import Identity, blocking_path, owner_and_mode, permission_remedy

OTHER_ID: Final = 54_321


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a file"
    path.write_text("")
    path.chmod(0o000)
    return path


def me(file: Path, *, uid: int | None = None, groups: frozenset[int] = frozenset()) -> Identity:
    """Return the file's owner, or a user with another uid."""
    return Identity(file.stat().st_uid if uid is None else uid, OTHER_ID, groups)


def test_a_member_of_the_group_gets_a_remedy_for_the_groups_mode(file: Path) -> None:
    groups = frozenset({file.stat().st_gid})
    text = permission_remedy(file, me(file, uid=OTHER_ID, groups=groups), write=False)
    assert f"chmod g+r '{file}'`" in text
    assert "chown" not in text


def test_another_user_gets_the_owner_and_a_cache_of_their_own(file: Path) -> None:
    text = permission_remedy(file, me(file, uid=OTHER_ID), write=True)
    assert text.startswith("ask its owner ")
    assert f"chmod g+rw '{file}'`" in text
    assert "HF_HUB_CACHE" in text


def test_a_folder_of_root_is_not_given_to_a_user() -> None:
    text = permission_remedy(Path("/usr"), Identity(OTHER_ID, OTHER_ID, frozenset()), write=True)
    assert "chown" not in text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(("owner", "command"), [(0, "sudo chown"), (OTHER_ID, "chmod u+rwx")])
def test_inside_a_users_own_folder_the_remedy_is_one_command(
    tmp_path: Path, owner: int, command: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chown(tmp_path, OTHER_ID, OTHER_ID)
    os.chown(folder, owner, owner)

    text = permission_remedy(folder, Identity(OTHER_ID, OTHER_ID, frozenset()), write=True)

    assert f"`{command}" in text
    assert f" {folder}`" in text
    assert "-R" not in text


def test_a_path_that_disappears_meanwhile_is_not_a_failure(tmp_path: Path) -> None:
    assert str(tmp_path / "gone") in permission_remedy(tmp_path / "gone", None, write=False)


def test_a_path_whose_folders_can_be_entered_blocks_itself(file: Path) -> None:
    assert blocking_path(file) == file


def test_owner_group_and_mode_are_numbers(file: Path) -> None:
    state = file.stat()
    assert owner_and_mode(file) == f"{state.st_uid}:{state.st_gid} with mode 0000"
