"""Run the warmer and the check as another user of this machine, which only root can do."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# All imports first: another user may not be able to read this installation.
_PROGRAM: Final = """
import encodings.cp437, encodings.idna, encodings.utf_8_sig, os, stringprep, sys, zipfile
sys.dont_write_bytecode = True
import pwd, logging, concurrent.futures.thread, difflib, shlex, huggingface_hub.utils
from model_cache.catalog.parse import load_catalog
from model_cache.catalog.lock import load_lock
load_catalog(None), load_lock(None)
from huggingface_hub import HfApi, RepoFile, hf_hub_url
from huggingface_hub.utils import build_hf_headers
import cache_warmer.hub.bodies, cache_warmer.hub.http_client, cache_warmer.hub.errors, cache_warmer.transfer.body
import model_cache.check.permissions, model_cache.check.deep
from cache_warmer.cli import cache_warmer
from model_cache.check.cli import cache_check
from model_cache.cli.program import run
HfApi(endpoint="http://127.0.0.1:9")
build_hf_headers(library_name="none")
uid, gid, groups, umask, program, *arguments = sys.argv[1:]
os.umask(int(umask, 8))
os.setgroups([int(group) for group in groups.split(",") if group]); os.setgid(int(gid)); os.setuid(int(uid))
sys.argv[1:] = arguments
run({"cache-warmer": cache_warmer, "cache-check": cache_check}[program], name=program)
"""


@dataclass(frozen=True)
class User:
    """A user of this machine, by numeric id, with its home folder."""

    uid: int
    home: Path
    groups: tuple[int, ...] = ()
    umask: str = "022"

    def command(self, program: str) -> list[str]:
        """Return what runs `cache-warmer` or `cache-check` as this user; its arguments follow."""
        groups = ",".join(str(group) for group in self.groups)
        return [sys.executable, "-c", _PROGRAM, str(self.uid), str(self.uid), groups, self.umask, program]

    def start(
        self, program: str, arguments: Sequence[str], environ: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        """Start `cache-warmer` or `cache-check` as this user."""
        path = str(Path(__file__).parents[3] / "src")
        switches = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": path}
        return subprocess.Popen(
            [*self.command(program), *arguments],
            env={**os.environ, **switches, **environ, "HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str, arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str, str]:
        """Run a program to its end; return exit code, stdout and stderr."""
        process = self.start(program, arguments, environ)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


def new_user(uid: int, folder: Path, *groups: int, umask: str = "022") -> User:
    """Make a user with an empty home that only this user may enter, below a folder that all users may enter."""
    home = folder / f"home-{uid}"
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    return User(uid, home, groups, umask)
