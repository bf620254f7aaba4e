"""Print the requirements of the project and some of its extras, one per line.

The layer of an image with the dependencies then depends on pyproject.toml only, and is reused when the source changes.

Usage: python requirements.py EXTRA...
"""

import sys
import tomllib
from pathlib import Path


def main(extras: list[str]) -> int:
    """Print the requirements of the base install and of these extras."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [line for extra in extras for line in project["optional-dependencies"][extra]]
    sys.stdout.writelines(f"{line}\n" for line in [*project["dependencies"], *wanted])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
