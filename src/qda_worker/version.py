"""The worker's version, read from the installed package; pyproject.toml defines it."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

DISTRIBUTION: Final = "qda-worker"


def worker_version() -> str:
    """Return the version of the installed distribution, or "0+unknown" if it is not installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0+unknown"
