"""Measure which versions of the libraries find the models of our cache, and write the table.

    python -m tests.library_matrix [NAME ...]    measure these environments (default: all), then write the table
    python -m tests.library_matrix --list        list the environments

Each environment is a virtual environment of its own below build/library-matrix, which is deleted after its measurement.
The cache is a home that `cache-warmer warm` filled with the small models; every environment gets a copy. Offline, the
libraries may not reach a hub, and none answers; online, the hub is that of the test, which counts the requests and the
bytes of files that it sends. sentence-transformers also loads a model by its name without the organization, offline.
Results of environments that are not measured again stay as they are in results.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.library_matrix.table import PAGE, RESULTS, read_results, to_page
from tests.support.fake_hub import FakeHub, repositories_below, repository_from_folder
from tests.support.small_models import small_models

ROOT: Final = Path(__file__).parents[2]
PROBE: Final = Path(__file__).with_name("probe.py")
BUILD: Final = ROOT / "build/library-matrix"
# The organization that sentence-transformers adds to names that have none.
SHORT_NAMES: Final = "sentence-transformers"
_PARAPHRASE: Final = "qda-demo/multilingual-paraphrase"
# The model to load, by library.
NAMES: Final = {
    "huggingface_hub": "qda-demo/german-sentiment-bert",
    "transformers": "qda-demo/german-sentiment-bert",
    "sentence-transformers": f"{SHORT_NAMES}/multilingual-paraphrase",
    "spacy": "de_demo_news_sm",
}
_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_TORCH: Final = "torch==2.13.0"
# Seconds for one library to load a small model, with its imports.
_TIMEOUT: Final = 600
# Seconds for pip: torch is 200 MB, and old packages may be built.
_INSTALL_TIMEOUT: Final = 1200
# Requirements by library and environment: old versions, the last of each former major version, the newest.
ENVIRONMENTS: Final[dict[str, tuple[str, list[str]]]] = {
    "hub-0.10": ("huggingface_hub", ["huggingface_hub==0.10.1"]),
    "hub-0.36": ("huggingface_hub", ["huggingface_hub==0.36.2"]),
    "hub-1": ("huggingface_hub", ["huggingface_hub==1.33.0"]),
    "hub-2": ("huggingface_hub", ["huggingface_hub==2.4.0"]),
    "transformers-2": ("transformers", ["transformers==2.11.0"]),
    "transformers-3": ("transformers", ["transformers==3.5.1"]),
    # the first that always has safetensors, the format of the model
    "transformers-4.30": ("transformers", ["transformers==4.30.2", _TORCH, "numpy<2"]),
    "transformers-4.46": ("transformers", ["transformers==4.46.3", _TORCH, "numpy<2"]),
    "transformers-4": ("transformers", ["transformers==4.57.6", _TORCH]),
    "transformers-5": ("transformers", ["transformers==5.23.0", _TORCH]),
    "transformers-5.24": ("transformers", ["transformers==5.24.0", _TORCH]),
    "st-2.2": (
        "sentence-transformers",
        [
            "sentence-transformers==2.2.2",
            "transformers==4.46.3",
            "huggingface_hub==0.25.2",
            "numpy<2",
            _TORCH,
        ],
    ),
    "st-2": (
        "sentence-transformers",
        ["sentence-transformers==2.7.0", "transformers==4.46.3", "numpy<2", _TORCH],
    ),
    "st-3": ("sentence-transformers", ["sentence-transformers==3.4.1", "transformers<5", _TORCH]),
    "st-4": ("sentence-transformers", ["sentence-transformers==4.1.0", "transformers<5", _TORCH]),
    "st-5": ("sentence-transformers", ["sentence-transformers==5.7.0", _TORCH]),
    "st-6": ("sentence-transformers", ["sentence-transformers==6.2.0", _TORCH]),
    "spacy-2": ("spacy", ["spacy==2.3.9", "numpy<2"]),
    # its typer has no click any more, which it imports
    "spacy-3.7": ("spacy", ["spacy==3.7.5", "numpy<2", "click"]),
    "spacy-3.8": ("spacy", ["spacy==3.8.18"]),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.library_matrix", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="an environment")
    parser.add_argument("--list", action="store_true", help="list the environments")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(ENVIRONMENTS))
        return 0
    unknown = sorted(set(arguments.names) - set(ENVIRONMENTS))
    if unknown:
        parser.error(f"no environment {', '.join(unknown)}; --list shows them")
    models = small_models()
    wheels = list((models.hub / "wheels").glob("*.whl"))
    renamed = repository_from_folder(models.hub / "models" / _PARAPHRASE, NAMES["sentence-transformers"])
    with (
        FakeHub([*repositories_below(models.hub), renamed], wheels) as hub,
        tempfile.TemporaryDirectory() as folder,
    ):
        home, catalog = Path(folder) / "home", Path(folder) / "catalog.yaml"
        home.mkdir()
        catalog.write_text(models.catalog.read_text("utf-8").replace(_PARAPHRASE, renamed.id), "utf-8")
        warm(home, catalog, hub)
        for name in arguments.names or ENVIRONMENTS:
            print(f"{name} …", flush=True)
            row = measure(name, home, hub)
            print(f"  {row}", flush=True)
            results = read_results() | {name: row}
            ordered = {each: results[each] for each in ENVIRONMENTS if each in results}
            RESULTS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", "utf-8")
            PAGE.write_text(to_page(ordered), "utf-8")
    return 0


def warm(home: Path, catalog: Path, hub: FakeHub) -> None:
    """Fill the global caches of a home."""
    environ = {**os.environ, "HOME": str(home), "HF_ENDPOINT": hub.url, "QDA_CATALOG": str(catalog)}
    environ |= {"QDA_WHEEL_BASE": f"{hub.url}/wheels"}
    subprocess.run([sys.executable, "-m", "cache_warmer", "warm", "--quiet"], env=environ, check=True)


def measure(name: str, home: Path, hub: FakeHub) -> dict[str, Any]:
    """Make the environment, load offline and online, and return a row of the table."""
    library, requirements = ENVIRONMENTS[name]
    environment, own_home = BUILD / name, BUILD / f"{name}-home"
    for folder in (environment, own_home):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(home, own_home, symlinks=True)
    row: dict[str, Any] = {"library": library, "requirements": requirements}
    try:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        pip = [
            str(environment / "bin/python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        if failure := install(pip, requirements):
            return row | {"install": failure}
        # not needed, and the one of PyPI does not fit a CPU build of torch
        subprocess.run(
            [*pip[:3], "uninstall", "--quiet", "--yes", "torchvision"], capture_output=True, check=False
        )
        if library == "spacy":
            add_packages(environment, own_home)
        row["offline"] = probe(environment, own_home, library, _OFFLINE)
        hub.log.clear()
        row["online"] = probe(environment, own_home, library, {"HF_ENDPOINT": hub.url})
        found = [record for record in hub.log.requests("*/resolve/*") if record.status in (200, 206)]
        row["bytes_fetched"] = sum(record.bytes_sent for record in found)
        row["requests"] = len(hub.log.requests())
        if library == "sentence-transformers":
            short = NAMES[library].removeprefix(f"{SHORT_NAMES}/")
            row["short_name"] = probe(environment, own_home, library, _OFFLINE, short)
        return row
    finally:
        for folder in (environment, own_home):
            shutil.rmtree(folder, ignore_errors=True)


def install(pip: list[str], requirements: list[str]) -> str:
    """Install packages; return why that failed, empty if it did not.

    The cause is the last error that a failed build printed, or its last line, where there was one.
    """
    try:
        done = subprocess.run(
            [*pip, *requirements], capture_output=True, text=True, timeout=_INSTALL_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"pip did not end within {_INSTALL_TIMEOUT} s"
    if done.returncode == 0:
        return ""
    lines = [line.strip(" │") for line in done.stderr.splitlines()]
    if "[end of output]" in lines:
        printed = [line for line in lines[: lines.index("[end of output]")] if line]
        errors = [line for line in printed if line.lower().startswith("error: ")]
        # the first is pip's own, which says that the build failed
        return (errors[1:] or printed)[-1][:150]
    return next((line for line in lines if line.startswith("ERROR: ")), "pip failed")[:150]


def add_packages(environment: Path, home: Path) -> None:
    """Let the Python of the environment find the spaCy packages, as `cache-warmer env` says."""
    environ = {"HOME": str(home), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "cache_warmer", "env"]
    printed = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=True, cwd=ROOT / "src"
    ).stdout
    line = printed.splitlines()[-1]
    path = f"{environment / 'bin'}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", line], env={"HOME": str(home), "PATH": path}, check=True)


def probe(
    environment: Path, home: Path, library: str, environ: dict[str, str], name: str = ""
) -> dict[str, Any]:
    """Load a model, `NAMES[library]` if no name is given, in a process of the environment."""
    command = [str(environment / "bin/python"), "-W", "ignore", str(PROBE), library, name or NAMES[library]]
    endpoint = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DISABLE_TELEMETRY": "1"}
    own = {"HOME": str(home), "PATH": os.environ["PATH"], **endpoint, **environ}
    try:
        done = subprocess.run(
            command, env=own, capture_output=True, text=True, cwd=home, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return {"result": f"did not end within {_TIMEOUT} s"}
    if done.returncode != 0:
        return {"result": (done.stderr.strip().splitlines() or ["ended without a message"])[-1][:150]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    sys.exit(main())
