"""Virtual environments of the peers: each has one of its own, with the pinned packages of `benchmarks/peers/NAME.txt`.

An environment is made when it is first needed, in `build/benchmarks/environments`, and again when its requirements
change. If it cannot be made, the reason is kept beside it and the peer is reported as not measured; `make
bench-environments` tries again.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.conditions import ROOT

REQUIREMENTS: Final = ROOT / "benchmarks" / "peers"
# What draws the plots: an environment too, but no peer.
PLOTS: Final = ROOT / "benchmarks" / "plots.txt"
ENVIRONMENTS: Final = ROOT / "build" / "benchmarks" / "environments"
# Files in an environment: the hash of the requirements that it has, and why it could not be made.
_DONE: Final = ".requirements"
_FAILED: Final = "failed.txt"
# A package that another one requires without need, and that does not fit every build of torch.
_UNWANTED: Final = re.compile(r"^# remove: (\S+)$", re.MULTILINE)


class NotMeasured(Exception):
    """A side cannot be measured here; the message says why."""


def names() -> list[str]:
    """Return the names of all environments."""
    return [*sorted(path.stem for path in REQUIREMENTS.glob("*.txt")), PLOTS.stem]


def python_of(name: str, *, retry: bool = False) -> Path:
    """Return the Python of an environment, which is made unless it exists.

    Args:
        name: of the requirement file.
        retry: whether to try again what failed before.

    Raises:
        NotMeasured: it cannot be made.
    """
    requirements = PLOTS if name == PLOTS.stem else REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    done, failed = folder / _DONE, folder / _FAILED
    if done.exists() and done.read_text("utf-8") == digest:
        return python
    if failed.exists() and failed.read_text("utf-8").startswith(digest) and not retry:
        raise NotMeasured(failed.read_text("utf-8").partition("\n")[2])
    print(f"making the environment {name} in {folder} (some minutes)", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run(
        [*command, "--requirement", str(requirements)], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        errors = [line for line in installed.stderr.splitlines() if line.startswith("ERROR:")]
        reason = f"its packages cannot be installed: {(errors or ['pip failed'])[0].removeprefix('ERROR: ')}"
        failed.write_text(f"{digest}\n{reason}", "utf-8")
        raise NotMeasured(reason)
    if unwanted := _UNWANTED.findall(requirements.read_text("utf-8")):
        subprocess.run([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *unwanted], check=True)
    done.write_text(digest, "utf-8")
    return python
