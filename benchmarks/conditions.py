"""The conditions of a measurement: what a reader has to know to compare its figures with others."""

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from qda_worker.cpu import cpu_budget, cpu_flags

ROOT: Final = Path(__file__).parents[1]
# Instruction sets that decide which kernels the libraries use.
_FLAGS: Final = (
    "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8",
    "asimd", "asimddp", "bf16", "i8mm", "sve",
)  # fmt: skip
_PACKAGES: Final = (
    "torch", "transformers", "tokenizers", "sentence-transformers", "openvino", "spacy", "grpcio", "numpy",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """Return what does not change between the tables of a machine."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    about = dict(line.replace("\t", "").split(": ", 1) for line in lines if ": " in line)
    flags = cpu_flags()
    processor = about.get("model name", platform.machine())
    family = "-".join(about[name] for name in ("cpu family", "model", "stepping") if name in about)
    return {
        "processor": f"{processor} ({family})" if family else processor,
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
    }


def conditions(began: float, load: float) -> dict[str, Any]:
    """Return the conditions of a table.

    Args:
        began: `time.time()` of its start.
        load: load average of the machine at its start, which is that of other work in the first table.
    """
    return {
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(time.time() - began),
        "load_average": load,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "threads": cpu_budget(os.environ).threads,
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def available_memory() -> int:
    """Return the bytes that processes can still get without swapping."""
    for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """Return the short commit, with a plus sign if the sources differ from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "benchmarks/*.py", "benchmarks/peers")
    return f"{git('rev-parse', '--short', 'HEAD') or 'unknown'}{'+' * bool(changed)}"
