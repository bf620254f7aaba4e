"""A body with the wrong hash is kept for diagnosis, once, and does not hinder later runs."""

import hashlib
import os
from pathlib import Path

import pytest

from cache_warmer.disk.volume import FreeSpace
from cache_warmer.transfer.staging import quarantine
from tests.service.warmer.fixtures import Workspace
from tests.service.warmer.test_collect import collect
from tests.support.fake_hub import Fault, FaultKind

WEIGHTS, SMALL = "model.safetensors", "vocab.txt"


def kept(workspace: Workspace) -> list[Path]:
    return sorted(workspace.cache.rglob("*.wrong-*"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", [WEIGHTS, SMALL, "*.whl"])
def test_a_wrong_body_is_kept_and_named_with_both_hashes(workspace: Workspace, name: str) -> None:
    workspace.hub.faults.add(Fault(FaultKind.WRONG_BYTES, name, after=3))

    for _ in range(2):  # the second run replaces what the first one kept
        outcome = workspace.warm()

        assert outcome.reason == "CONTENT_MISMATCH"
        (wrong,) = kept(workspace)
        assert f"kept as {wrong}" in outcome.err
        assert sha256(wrong) in wrong.name
        assert wrong.stat().st_mode & 0o777 == 0o644
        assert not list(workspace.cache.rglob("*.ranges.incomplete"))

    workspace.hub.faults.clear()
    assert workspace.warm().reason == "OK"
    assert len(kept(workspace)) == 1


def test_collect_removes_it_while_the_model_is_incomplete(workspace: Workspace) -> None:
    assert workspace.warm().reason == "OK"
    target = next(workspace.cache.rglob(WEIGHTS)).resolve()
    target.unlink()
    workspace.hub.faults.add(Fault(FaultKind.WRONG_BYTES, WEIGHTS, after=3))
    assert workspace.warm().reason == "CONTENT_MISMATCH"
    (wrong,) = kept(workspace)
    os.utime(wrong, (0, 0))

    report = collect(workspace, "--apply")

    (going,) = (one for one in report["going"] if one["path"] == str(wrong))
    assert going["why"] == "wrong content that a source sent"
    assert not wrong.exists()


@pytest.mark.parametrize(("free", "stays"), [(10_000_000, True), (100_000, False)])
def test_it_is_kept_only_if_the_right_body_fits_beside_it(tmp_path: Path, free: int, *, stays: bool) -> None:
    staging = tmp_path / "abc.incomplete"
    staging.write_bytes(bytes(200_000))

    with staging.open("rb") as file:
        found = quarantine(file.fileno(), staging, "f" * 64, lambda _: FreeSpace(1, free, None))

    assert found == (tmp_path / f"abc.wrong-{'f' * 64}.incomplete" if stays else None)
    assert staging.exists() is not stays


def test_a_file_of_another_writer_is_not_quarantined(tmp_path: Path) -> None:
    staging = tmp_path / "abc.incomplete"
    staging.write_bytes(b"mine")
    with staging.open("rb") as mine:
        staging.unlink()
        staging.write_bytes(b"another's")

        assert quarantine(mine.fileno(), staging, "f" * 64) is None

    assert staging.read_bytes() == b"another's"
