"""Fails the build of the worker's image when torch is not a CPU build, before its gigabytes of CUDA follow."""

import runpy
import sys
import sysconfig
from pathlib import Path


def main() -> int:
    """Look at the version that torch was built as; torch itself cannot be imported yet."""
    version = runpy.run_path(str(Path(sysconfig.get_path("purelib")) / "torch" / "version.py"))
    if version["cuda"] is None:
        return 0
    sys.stderr.write(
        f"torch {version['__version__']} is built for CUDA {version['cuda']}; the image takes CPU builds. "
        "Remedy: --build-arg TORCH_INDEX=<PyTorch's index of CPU builds>\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
