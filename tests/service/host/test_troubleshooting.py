"""docs/troubleshooting.md: each command is run where its symptom is, and prints what the page shows.

In the output of a page, `…` stands for anything in a line, and a line that is `…` for any lines. What is below a
heading of `NOT_RUN` cannot be caused on one Linux machine by its owner; such a section has no output.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

import pytest

from tests.service.host.homes import Home
from tests.support.fake_hub import FakeHub, Fault, FaultKind
from tests.support.fake_hub.certificate import self_signed_certificate
from tests.support.page_blocks import Block, read_blocks

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


SCENARIOS: Final[dict[str, Setup]] = {
    "`couldn't connect to 'https://huggingface.co' … couldn't find them in the cached files`": nothing,
    "`LocalEntryNotFoundError`, `outgoing traffic has been disabled`": nothing,
    "`[E050] Can't find model 'de_core_news_lg'`": warmed,
    "`No such file or directory: …/snapshots/…/config.json`": without_a_file,
    "`SafetensorError`, `UnpicklingError`, wrong answers: a damaged file": damaged,
    "`No space left on device`": nothing,
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
}


def console_blocks() -> list[Block]:
    return [block for block in read_blocks(PAGE) if block.language == "console"]


def headings() -> list[str]:
    lines = PAGE.read_text("utf-8").splitlines()
    return [line.removeprefix("### ") for line in lines if line.startswith("### ")]


def run(command: str, home: Home) -> str:
    """Run a line of a shell in the home, with our programs by their names; return what it printed."""
    folder, endpoint = home.workspace.folder / "bin", home.workspace.endpoint
    folder.mkdir(exist_ok=True)
    for name, module in PROGRAMS.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        (folder / name).chmod(0o755)
    environ = {
        "HOME": str(home.path),
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCES),
        "HF_ENDPOINT": endpoint,
        "HUB_PORT": endpoint.rpartition(":")[2],
        "QDA_WHEEL_BASE": f"{endpoint}/wheels",
        "QDA_CATALOG": str(home.workspace.catalog),
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


def matches(shown: list[str], printed: str) -> bool:
    """Return whether lines of the page, with `…` for anything, are what was printed."""
    parts = [
        r"(?:.*\n)*?"
        if line.strip() == "…"
        else ".*?".join(map(re.escape, line.rstrip().split("…"))) + r"[ ]*\n"
        for line in shown
    ]
    return re.fullmatch("".join(parts), printed if printed.endswith("\n") else printed + "\n") is not None


def test_each_heading_has_a_scenario_or_says_why_not() -> None:
    assert sorted(headings()) == sorted([*SCENARIOS, *NOT_RUN])
    assert {block.heading for block in console_blocks()} == set(SCENARIOS)


@pytest.mark.parametrize("heading", SCENARIOS)
def test_the_commands_of_a_section_print_what_it_shows(home: Home, heading: str) -> None:
    (block,) = [block for block in console_blocks() if block.heading == heading]
    commands: list[tuple[str, list[str]]] = []
    for line in block.lines:
        if line.startswith("$ "):
            commands.append((line.removeprefix("$ "), []))
        else:
            commands[-1][1].append(line)
    assert commands
    with SCENARIOS[heading](home) or nullcontext():
        for command, shown in commands:
            printed = run(command, home)
            assert matches(shown, printed), printed
