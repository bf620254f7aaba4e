"""Changed and truncated archives: refused before anything is published, and nothing is written outside the cache."""

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from tests.service.warmer.archives import Members, cache_of, change_members, export, import_
from tests.service.warmer.fixtures import Workspace
from tests.service.warmer.test_archive import SOURCE, reason_of

# Its position among the members.
MANIFEST: Final = 1


@pytest.fixture
def archive(workspace: Workspace, tmp_path: Path) -> Path:
    assert workspace.warm().reason == "OK"
    export(workspace, tmp_path / "generation.tar")
    return tmp_path / "generation.tar"


def refused(workspace: Workspace, archive: Path) -> str:
    """Import into an empty cache; return the error, after checking that nothing was published."""
    other = cache_of(workspace, "other")
    with pytest.raises(ModelCacheError) as caught:
        import_(workspace, archive, other)
    assert caught.value.reason is Reason.CONTENT_MISMATCH
    assert not list(other.glob(".model-cache/manifests/*"))
    assert not list(other.glob("huggingface/hub/*/refs/*"))
    assert not (workspace.folder / "evil").exists()
    return str(caught.value)


def info(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def add(member: tarfile.TarInfo, at: int = 99) -> Callable[[Members], Members]:
    return lambda members: [*members[:at], (member, b"x"), *members[at:]]


def in_manifest(edit: Callable[[dict[str, object]], None]) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        document = json.loads(members[MANIFEST][1])
        edit(document)
        members[MANIFEST] = (members[MANIFEST][0], json.dumps(document).encode())
        return members

    return change


def first_file(**changes: object) -> Callable[[Members], Members]:
    return in_manifest(lambda document: document["models"][0]["files"][0].update(changes))  # type: ignore[index]  # as written


def flip(members: Members) -> Members:
    name, body = members[3]
    return [*members[:3], (name, bytes([body[0] ^ 1]) + body[1:]), *members[4:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add(info("../../evil")), "which its manifest does not list"),
        (add(info("../../evil"), 2), 'leads out of its folder by ".."'),
        (add(info("/tmp/evil"), 2), "is absolute"),
        (add(info("huggingface/hub/x", tarfile.SYMTYPE, "/etc"), 2), "a link"),
        (add(info("spacy/sitecustomize.py"), 4), "where huggingface"),
        (add(info("spacy/sitecustomize.py")), "does not list"),
        (lambda members: members[:-1], "it ends where"),
        (lambda members: [*members[:4], members[3], *members[4:]], "where huggingface"),
        (lambda members: [*members[:2], members[3], members[2], *members[4:]], "where huggingface"),
        (lambda members: members[1:], "where archive.json should be"),
        (lambda members: [members[0], *members[2:]], "no manifest"),
        (flip, "sha256"),
        (first_file(path="../../evil"), "leads out of its folder"),
        (first_file(path="models--org--other/snapshots/x"), "which is no file of one"),
        (first_file(place="model-cache"), "which is no file of one"),
        (first_file(place="torch"), "which is no file of one"),
        (first_file(bytes=10**15), ""),
        (in_manifest(lambda document: document["models"].pop()), "not that of its catalog"),  # type: ignore[attr-defined]
        (in_manifest(lambda document: document.update(generation="0" * 64)), "not that of its catalog"),
        (lambda members: [(members[0][0], b"{}"), *members[1:]], "cannot be read"),
        (lambda members: [(members[0][0], b"[[" * 10000), *members[1:]], "cannot be read"),
    ],
)
def test_a_changed_archive_is_refused(
    workspace: Workspace, archive: Path, change: Callable[[Members], Members], message: str
) -> None:
    copy = change_members(archive, change)
    if not message:  # it claims more than any disk has
        with pytest.raises(ModelCacheError) as caught:
            import_(workspace, copy, cache_of(workspace, "other"))
        assert caught.value.reason is Reason.NO_SPACE
        return

    assert message in refused(workspace, copy)


def test_a_truncated_or_damaged_archive_publishes_no_damaged_file(
    workspace: Workspace, archive: Path, tmp_path: Path
) -> None:
    content = archive.read_bytes()
    draw = random.Random(6)
    damaged = tmp_path / "damaged.tar"
    for number in range(25):
        at = draw.randrange(len(content))
        cut = number % 2
        damaged.write_bytes(
            content[:at] if cut else content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]
        )
        other = cache_of(workspace, f"other-{number}")
        reason = Reason.OK
        try:
            import_(workspace, damaged, other)
        except ModelCacheError as error:
            reason = error.reason
        if reason is Reason.OK:  # a byte that means nothing, as an owner's in a header
            assert not cut
            assert reason_of(workspace, other) is Reason.OK
        else:
            assert reason is Reason.CONTENT_MISMATCH
            assert not list(other.glob(".model-cache/manifests/*"))


def test_a_link_in_the_cache_is_not_written_through(
    workspace: Workspace, archive: Path, tmp_path: Path
) -> None:
    other, outside = cache_of(workspace, "other"), tmp_path / "outside"
    outside.mkdir()
    folder = other / "huggingface/hub/models--org--first"
    folder.mkdir(parents=True)
    (folder / "snapshots").symlink_to(outside)

    with pytest.raises(ModelCacheError, match="leads out of the cache"):
        import_(workspace, archive, other)

    assert not [path for path in outside.rglob("*") if path.is_file() or path.is_symlink()]


def test_after_sigkill_the_former_generation_is_complete(
    workspace: Workspace, archive: Path, tmp_path: Path
) -> None:
    """Kill the import while the archive, which comes through a pipe, stops in the middle of the big file."""
    other = cache_of(workspace, "other")
    workspace.warm("two", cache=str(other))
    program = [sys.executable, "-m", "cache_warmer", "import", "-", "--cache", str(other), "--quiet"]
    content = archive.read_bytes()
    for share in (0.5, 0.95):
        child = subprocess.Popen(
            [*program, "--catalog", str(workspace.catalog)],
            env={**os.environ, "PYTHONPATH": SOURCE},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdin is not None
        child.stdin.write(content[: int(len(content) * share)])
        child.stdin.flush()
        for _ in range(2000):
            if list(other.rglob("*.import.incomplete")) or child.poll() is not None:
                break
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert not list(other.glob(".model-cache/manifests/*"))
        assert workspace.warm("two", cache=str(other)).document["bytes_fetched"] == 0

    assert import_(workspace, archive, other).reason == "OK"
    assert reason_of(workspace, other) is Reason.OK
    assert not list(other.rglob("*.incomplete"))
