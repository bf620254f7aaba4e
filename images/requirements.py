"""Prints what the project and one of its extras require, a line each, so that an image's layer of dependencies depends
on pyproject.toml alone and outlives changes of the source.

Usage: python requirements.py EXTRA
"""

import sys
import tomllib
from pathlib import Path


def main(extra: str) -> int:
    """Print the requirements of the base install and of an extra."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    sys.stdout.writelines(
        f"{line}\n" for line in [*project["dependencies"], *project["optional-dependencies"][extra]]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
