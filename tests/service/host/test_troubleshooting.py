"""docs/troubleshooting.md: each command is run where its symptom is, and prints what the page shows.

`tests.support.shown_output` compares them. What is below a heading of `NOT_RUN` cannot be caused on one Linux machine;
such a section has no output.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from tests.faults.volumes import missing_capability, tmpfs
from tests.service.host.homes import Home
from tests.service.host.users import User
from tests.service.warmer.fixtures import write_wheel
from tests.service.worker.process import serving
from tests.support.fake_hub import FakeHub, Fault, FaultKind
from tests.support.fake_hub.certificate import self_signed_certificate
from tests.support.page_blocks import Block, read_blocks, read_console
from tests.support.shown_output import ANYTHING, missing_line

PAGE: Final = Path(__file__).parents[3] / "docs/troubleshooting.md"
SOURCES: Final = Path(__file__).parents[3] / "src"
PROGRAMS: Final = {
    "cache-check": "model_cache.check.cli",
    "cache-warmer": "cache_warmer",
    "qda-client": "qda_worker.client.cli.main",
}
NOT_RUN: Final = frozenset(
    {
        "`Permission denied` with SELinux",
        "`Permission denied` in a rootless container",
        "Slow or `Stale file handle`: a home on NFS",
        "Slow, or twice on the disk: WSL",
    }
)

# Makes a situation in a home; what it returns, if anything, is open while the commands run.
Setup = Callable[[Home], AbstractContextManager[object] | None]


def nothing(home: Home) -> None:
    """Leave the home as it is: of somebody who has not begun."""


def warmed(home: Home) -> None:
    assert home.warm().reason == "OK"


def damaged(home: Home) -> None:
    warmed(home)
    blob = (home.folder_of("one") / "model.safetensors").resolve()
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    content[1_000_000] ^= 1
    blob.write_bytes(content)


def without_a_file(home: Home) -> None:
    warmed(home)
    (home.folder_of("one") / "config.json").resolve().unlink()


def busy(home: Home) -> None:
    home.workspace.hub.faults.add(Fault(FaultKind.STATUS, status=429))


def untrusted(home: Home) -> FakeHub:
    hub = home.workspace.hub = FakeHub(tls=self_signed_certificate(home.workspace.folder))
    return hub


def gated(home: Home) -> None:
    home.workspace.hub.faults.add(Fault(FaultKind.STATUS, "*/tree/*", status=403, error_code="GatedRepo"))


def sign_in_page(home: Home) -> None:
    home.workspace.hub.faults.add(Fault(FaultKind.PAGE))


def broken_ref(home: Home) -> None:
    warmed(home)
    (home.hub_cache / "models--org--first/refs/main").write_text("0" * 40)


def stored_twice(home: Home) -> None:
    warmed(home)
    former = home.path / ".cache/torch/sentence_transformers/org_first"
    former.mkdir(parents=True)
    weights = home.folder_of("one") / "model.safetensors"
    (former / "model.safetensors").write_bytes(weights.read_bytes())


def catalog_with_a_typo(home: Home) -> None:
    catalog = home.workspace.catalog
    catalog.write_text(catalog.read_text("utf-8").replace("revision:", "revison:", 1), "utf-8")


def damaged_wheel(home: Home) -> None:
    folder, wheel = home.path / "Downloads", home.workspace.wheel
    folder.mkdir()
    (folder / wheel.name).write_bytes(wheel.read_bytes()[:-3000])


def wheel_of_another_python(home: Home) -> None:
    folder = home.path / "Downloads"
    folder.mkdir()
    wheel = write_wheel(folder, "de_tiny", "1.0.0", {"de_tiny/native.so": b"compiled"})
    wheel.rename(folder / "de_tiny-1.0.0-cp310-cp310-linux_x86_64.whl")


def package_for_another_spacy(home: Home) -> None:
    folder = home.spacy / "de_old"
    folder.mkdir(parents=True)
    meta = {"name": "old", "version": "3.0.0", "spacy_version": ">=3.0.0,<3.1.0"}
    (folder / "meta.json").write_text(json.dumps(meta))


@contextmanager
def waiting_worker(home: Home) -> Iterator[None]:
    options = ["--catalog", str(home.workspace.catalog), "--cache", str(home.workspace.cache), "--no-fetch"]
    with serving(home.workspace.folder, *options, HOME=str(home.path)) as worker:
        worker.wait_for_event("cache.waiting")
        home.workspace.environ["WORKER_PORT"] = worker.address.rpartition(":")[2]
        yield


@contextmanager
def small_volume(home: Home) -> Iterator[Path]:
    if reason := missing_capability():
        pytest.skip(reason)
    (home.path / ".cache").mkdir()
    with tmpfs(home.path / ".cache/huggingface", megabytes=1) as volume:
        yield volume


@contextmanager
def read_only_volume(home: Home) -> Iterator[None]:
    with small_volume(home) as volume:
        subprocess.run(["mount", "-o", "remount,ro", str(volume)], check=True)
        yield


def folder_of_root(home: Home) -> None:
    """Let the commands run as another user, whose hub cache root has made."""
    user = User(40_001, home.path)
    hub = home.path / ".cache/huggingface/hub"
    hub.mkdir(parents=True)
    for folder in (home.path, *home.path.rglob("*")):
        os.chown(folder, user.uid, user.uid)
    os.chown(hub, 0, 0)
    write_programs(home, {"cache-warmer": user.command("cache-warmer")})


SCENARIOS: Final[dict[str, Setup]] = {
    "`couldn't connect to 'https://huggingface.co' … couldn't find them in the cached files`": nothing,
    "`LocalEntryNotFoundError`, `outgoing traffic has been disabled`": nothing,
    "`[E050] Can't find model 'de_core_news_lg'`": warmed,
    "`No such file or directory: …/snapshots/…/config.json`": without_a_file,
    "`SafetensorError`, `UnpicklingError`, wrong answers: a damaged file": damaged,
    "`File too large`": nothing,
    "`ProxyError`, `Connection refused` by a proxy": nothing,
    "A page instead of JSON: a proxy or a hotel wants a sign-in": sign_in_page,
    "`429 Too Many Requests`": busy,
    "`CERTIFICATE_VERIFY_FAILED`, `self-signed certificate in certificate chain`": untrusted,
    "`403 Forbidden`, `GatedRepoError`": gated,
    "Models are in the wrong place: `TRANSFORMERS_CACHE` is ignored": warmed,
    "A model is fetched twice: `SENTENCE_TRANSFORMERS_HOME`": warmed,
    "A model takes space twice": stored_twice,
    "`RevisionNotFoundError` offline although the files are there": broken_ref,
    "`symlinks are not supported`: Developer Mode is off": nothing,
    "`Could not determine home directory`: HOME is not set": nothing,
    "`unknown key` in a catalog": catalog_with_a_typo,
    "`NOT_REACHABLE`, `Connection refused`: no worker": nothing,
    "`NOT_REACHABLE`: the port is that of an HTTP server": nothing,
    "`NOT_READY`, `the model … is not ready`": waiting_worker,
    "`BadZipFile`, `File is not a zip file`: a damaged wheel": damaged_wheel,
    "`is not a supported wheel on this platform`: a wheel of another Python": wheel_of_another_python,
    "`[W095] Model … was trained with spaCy …`: a package for another spaCy": package_for_another_spacy,
}
# Situations that only root can make: volumes are mounted, and commands run as another user.
SCENARIOS_OF_ROOT: Final[dict[str, Setup]] = {
    "`No space left on device`": small_volume,
    "`[Errno 30] Read-only file system`": read_only_volume,
    "`[Errno 13] Permission denied` in the cache": folder_of_root,
}


def console_blocks() -> list[Block]:
    return [block for block in read_blocks(PAGE) if block.language == "console"]


def headings() -> list[str]:
    lines = PAGE.read_text("utf-8").splitlines()
    return [line.removeprefix("### ") for line in lines if line.startswith("### ")]


def write_programs(home: Home, others: Mapping[str, Sequence[str]] = MappingProxyType({})) -> Path:
    """Write a script for each program, unless it is there, and return their folder; `others` run something else."""
    folder = home.workspace.folder / "bin"
    folder.mkdir(exist_ok=True)
    for name, module in PROGRAMS.items():
        script = folder / name
        if not script.exists():
            command = others.get(name, [sys.executable, "-m", module])
            script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            script.chmod(0o755)
    return folder


def run(command: str, home: Home) -> str:
    """Run a line of a shell in the home, with our programs by their names; return what it printed."""
    folder, endpoint = write_programs(home), home.workspace.endpoint
    environ = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCES),
        "HF_ENDPOINT": endpoint,
        "HUB_PORT": endpoint.rpartition(":")[2],
        "QDA_WHEEL_BASE": f"{endpoint}/wheels",
        "QDA_CATALOG": str(home.workspace.catalog),
        **home.workspace.environ,
    }
    ended = subprocess.run(
        ["bash", "-c", command],
        env=environ,
        cwd=home.workspace.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.stdout


def check_section(home: Home, heading: str, setup: Setup) -> None:
    """Run the commands of a section in its situation, and compare what they print with the page."""
    (block,) = [block for block in console_blocks() if block.heading == heading]
    with setup(home) or nullcontext():
        for command, shown in read_console(block):
            printed = run(command, home)
            missing = missing_line(shown, printed)
            assert missing is None, f"{missing or 'more than the page shows'!r} in:\n{printed}"


def test_each_heading_has_a_scenario_or_says_why_not() -> None:
    assert sorted(headings()) == sorted([*SCENARIOS, *SCENARIOS_OF_ROOT, *NOT_RUN])
    assert {block.heading for block in console_blocks()} == {*SCENARIOS, *SCENARIOS_OF_ROOT}


def test_each_command_shows_words_of_its_output() -> None:
    """A page of `…` alone would be true of every output."""
    for block in console_blocks():
        for command, shown in read_console(block):
            words = [line.replace(ANYTHING, "").strip() for line in shown]
            assert any(len(line) > 10 for line in words), command
            assert all(
                line.strip() in ("", ANYTHING) or word for line, word in zip(shown, words, strict=True)
            ), shown


@pytest.mark.parametrize("heading", SCENARIOS)
def test_the_commands_of_a_section_print_what_it_shows(home: Home, heading: str) -> None:
    check_section(home, heading, SCENARIOS[heading])


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root can mount volumes and be another user"
)
@pytest.mark.parametrize("heading", SCENARIOS_OF_ROOT)
def test_the_commands_of_a_section_that_root_makes_print_what_it_shows(home: Home, heading: str) -> None:
    check_section(home, heading, SCENARIOS_OF_ROOT[heading])
