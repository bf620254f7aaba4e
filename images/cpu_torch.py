"""Fail the build of the worker image if torch is not a CPU build, before its CUDA packages are installed."""

import runpy
import sys
import sysconfig
from pathlib import Path


def main() -> int:
    """Check the version file of torch. Torch itself cannot be imported before its requirements are installed."""
    version = runpy.run_path(str(Path(sysconfig.get_path("purelib")) / "torch" / "version.py"))
    if version["cuda"] is None:
        return 0
    sys.stderr.write(
        f"torch {version['__version__']} is built for CUDA {version['cuda']}, but the image needs a CPU build. "
        "Remedy: --build-arg TORCH_INDEX=<PyTorch's index of CPU builds>\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
