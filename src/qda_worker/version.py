"""The worker's version, from the installed package: the one place that says it is pyproject.toml."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

DISTRIBUTION: Final = "qda-worker"


def worker_version() -> str:
    """The version of the installed distribution, or "0+unknown" where the source runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0+unknown"
