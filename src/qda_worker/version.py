"""The worker's version, read from the installed package; pyproject.toml defines it."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

DISTRIBUTION: Final = "qda-worker"


@cache
def worker_version() -> str:
    """Return the version of the installed distribution, or "0+unknown" if it is not installed.

    It is in every response, and to read it again takes 0.5 ms.
    """
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0+unknown"
