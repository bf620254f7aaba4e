"""Deletion of a tree, also with files that NFS keeps."""

import errno
import os
from pathlib import Path

import pytest

from cache_warmer.disk.tree import remove_tree
from tests.support.generations import write_old_file


def test_a_tree_with_a_file_that_nfs_keeps_open_goes_except_for_that_file(tmp_path: Path) -> None:
    open_file = write_old_file(tmp_path / "tree/a/.nfs0001")
    write_old_file(tmp_path / "tree/a/gone")
    write_old_file(tmp_path / "tree/b/gone")

    def unlink(path: str) -> None:
        if ".nfs" in path:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        os.unlink(path)

    remove_tree(tmp_path / "tree", unlink)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [open_file]
    assert not (tmp_path / "tree/b").exists()
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize(("name", "code"), [("busy", errno.EBUSY), (".nfs1", errno.EACCES)])
def test_another_failure_to_delete_a_tree_is_raised(tmp_path: Path, name: str, code: int) -> None:
    write_old_file(tmp_path / "tree" / name)

    def unlink(path: str) -> None:
        raise OSError(code, os.strerror(code), path)

    with pytest.raises(OSError, match=os.strerror(code)):
        remove_tree(tmp_path / "tree", unlink)
