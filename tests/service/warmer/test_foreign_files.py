"""Small files of a cache that somebody else replaced: no command waits for one, runs out of memory or reports a bug."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.cli import cache_warmer
from model_cache.check.cli import cache_check
from model_cache.cli.program import run_main
from tests.service.warmer.fixtures import Workspace


def ten_gigabytes(path: Path) -> None:
    path.touch()
    os.truncate(path, 10 * 10**9)


# By what somebody put there: how, at a path that does not exist.
KINDS: Final[dict[str, Callable[[Path], object]]] = {
    "fifo": os.mkfifo,
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "circle of links": lambda path: path.symlink_to(path.name),
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "folder": Path.mkdir,
    "ten gigabytes": ten_gigabytes,
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "deep": lambda path: path.write_bytes(b"[" * 200_000),
    "many values": lambda path: path.write_bytes(b"[" + b"[]," * 2_000_000 + b"0]"),
    "number": lambda path: path.write_bytes(b"5"),
    "null": lambda path: path.write_bytes(b"null"),
    "object": lambda path: path.write_bytes(b"{}"),
    "list": lambda path: path.write_bytes(b'[[], 5, {"a": null}]'),
    "wrong types": lambda path: path.write_text(
        json.dumps(
            {
                "apiVersion": "qda/v1",
                "kind": kind_of(path),
                "name": 5,
                "generation": {},
                "models": 5,
                "model": [],
                "files": [1],
                "phase": [],
                "started": 1e300,
            }
        )
    ),
    "half a character": lambda path: path.write_text('{"name": "\\ud800", "models": "\\ud800"}'),
    "terminal escapes": lambda path: path.write_text("\x1b[2J\x9b31m\u202e\nOK: forged"),
}


def kind_of(path: Path) -> str:
    kinds = {"manifests": "CacheManifest", "models": "ModelRecord", "references": "CacheReference"}
    return kinds.get(path.parent.name, "")


# Every small file of ours that a command reads, as a pattern below the cache.
FILES: Final = (
    ".model-cache/manifests/*.json",
    ".model-cache/models/*.json",
    ".model-cache/references/*.json",
    ".model-cache/refs/models--org--first.json",
    ".model-cache/whole-bytes/*",
    ".model-cache/status.json",
    ".model-cache/lock",
    "huggingface/hub/models--org--first/refs/main",
    "huggingface/hub/models--org--first/trees/*.json",
)


@pytest.fixture
def warmed(workspace: Workspace) -> Workspace:
    assert workspace.warm().reason == "OK"
    return workspace


def run(workspace: Workspace, *argv: str) -> tuple[int, str]:
    """Run a program of the package as its `main` does; return exit code and all output."""
    out, err = io.StringIO(), io.StringIO()
    options = ["--catalog", str(workspace.catalog), "--cache", str(workspace.cache)]
    if argv[0] == "cache-check":
        code = run_main(
            lambda args: cache_check(args, workspace.environ, out, err),
            [*argv[1:], *options],
            name="p",
            environ={},
        )
    else:
        code = run_main(
            lambda args: cache_warmer(args, workspace.environ, out, err),
            [*argv, *options],
            name="p",
            environ={},
        )
    return code, out.getvalue() + err.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_survives_and_a_warm_or_repair_mends(
    warmed: Workspace, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--hub", warmed.endpoint, "--wheel-base", f"{warmed.hub.url}/wheels")
    commands = [
        ("cache-check",),
        ("cache-check", "--deep", "--model", "one"),
        ("plan", *source),
        ("collect", "--keep", "0"),
        ("export", "-o", str(warmed.folder / "out.tar"), "--quiet"),
        ("warm", *source, "--quiet"),
        ("repair", *source, "--quiet"),
    ]
    for pattern in FILES:
        path = min(warmed.cache.glob(pattern))
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        KINDS[kind](path)
        for command in commands:
            code, output = run(warmed, *command)
            output += "".join(capsys.readouterr())
            assert code != 50, (pattern, command, output)
            assert not set("\x1b\x9b\u202e") & set(output), (pattern, command)
        assert run(warmed, "cache-check")[0] == 0, (pattern, run(warmed, "cache-check"))
