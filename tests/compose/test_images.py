"""The contents of the two images, and the conditions under which they run."""

import json
import subprocess
from collections.abc import Sequence
from typing import Final

import pytest

from tests.compose.conftest import Figure
from tests.compose.engine import ROOT, Engine, call

BASE: Final = "python:3.11-slim-bookworm"
WARMER_ABOVE_BASE: Final = 150_000_000  # bytes
CONFINED: Final = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none")
ANY_UID: Final = ("--user", "1234567:0")
BOTH: Final = pytest.mark.parametrize("kind", ["warmer", "worker"])


def image(engine: Engine, kind: str) -> str:
    return engine.warmer_image if kind == "warmer" else engine.worker_image


def inspect(engine: Engine, name: str, template: str) -> str:
    done = call([*engine.engine, "image", "inspect", name, "--format", template])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def python(
    engine: Engine, kind: str, program: str, options: Sequence[str] = CONFINED
) -> subprocess.CompletedProcess[str]:
    return engine.run(image(engine, kind), "python", "-c", program, options=options)


@BOTH
def test_the_image_has_labels_and_a_user_that_is_not_root(engine: Engine, kind: str) -> None:
    assert inspect(engine, image(engine, kind), "{{.Config.User}}") == "65532:65532"
    labels = json.loads(inspect(engine, image(engine, kind), "{{json .Config.Labels}}"))
    said = {name.rpartition(".")[2]: text for name, text in labels.items() if "opencontainers" in name}
    assert said["title"] == ("qda-cache-warmer" if kind == "warmer" else "qda-worker")
    assert all(said[name] for name in ("description", "licenses", "version", "revision", "created"))


def test_the_warmer_is_small(engine: Engine, figure: Figure) -> None:
    above = int(inspect(engine, engine.warmer_image, "{{.Size}}")) - int(inspect(engine, BASE, "{{.Size}}"))
    figure("MB of the warmer above its base", round(above / 1e6))
    figure("MB of the worker", round(int(inspect(engine, engine.worker_image, "{{.Size}}")) / 1e6))
    assert above <= WARMER_ABOVE_BASE


@BOTH
def test_the_image_has_no_compiler_and_no_pip_cache(engine: Engine, kind: str) -> None:
    program = (
        "import pathlib, shutil\n"
        "assert not [name for name in ('cc', 'gcc', 'g++', 'c++', 'clang', 'ld', 'make') if shutil.which(name)]\n"
        "left = [p for name in ('/root/.cache', '/build', '/own', '/stdlib') for p in pathlib.Path(name).rglob('*')]\n"
        "assert not left, left\n"
    )
    done = python(engine, kind, program, ("--user", "0", "--network", "none"))
    assert done.returncode == 0, done.stderr


def test_the_warmer_has_no_torch(engine: Engine) -> None:
    program = (
        "import importlib.util as u; print([n for n in ('torch', 'transformers', 'spacy') if u.find_spec(n)])"
    )
    assert python(engine, "warmer", program).stdout.strip() == "[]"


def test_the_worker_has_torch_for_cpus_only(engine: Engine) -> None:
    program = (
        "import importlib.metadata as m, torch\n"
        "print(torch.version.cuda, [d.name for d in m.distributions() if d.name.startswith(('nvidia', 'triton'))])"
    )
    assert python(engine, "worker", program).stdout.strip() == "None []"


@BOTH
@pytest.mark.parametrize("options", [(), ANY_UID], ids=["own uid", "any uid"])
def test_the_commands_start_on_a_read_only_root(engine: Engine, kind: str, options: Sequence[str]) -> None:
    for command in ("cache-warmer", "cache-check", "qda-client", "qda-worker"):
        done = engine.run(image(engine, kind), command, "--version", options=[*CONFINED, *options])
        assert (done.returncode, done.stdout) == (0, f"{command} {version()}\n"), done.stderr


@BOTH
def test_the_check_in_the_working_directory_is_cache_check(engine: Engine, kind: str) -> None:
    done = engine.run(
        image(engine, kind),
        "python",
        "check_global_cache.py",
        "--format",
        "json",
        options=[*CONFINED, *ANY_UID],
    )
    assert done.returncode == 10, done.stderr
    assert json.loads(done.stdout)["reason"] == "CACHE_INCOMPLETE"


@BOTH
def test_no_module_that_a_check_needs_is_compiled_at_its_start(engine: Engine, kind: str) -> None:
    """Bytecode must exist, also of the standard library, because it cannot be written on a read-only root."""
    program = (
        "import os, sys\n"
        "from model_cache.check.cli import main\n"
        "sys.argv = ['cache-check', '--format', 'json']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert ended.code == 10, ended.code\n"
        "specs = {name: getattr(module, '__spec__', None) for name, module in sys.modules.items()}\n"
        "cached = {name: spec.cached for name, spec in specs.items() if spec and spec.cached}\n"
        "assert 'model_cache.check.check' in cached and 'json' in cached\n"
        "print('\\n' + repr(sorted(name for name, path in cached.items() if not os.path.exists(path))))"
    )
    done = python(engine, kind, program)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def version() -> str:
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("version = "))
