"""Packages of the extras, which a base install does not have: imported, or named with the extra that installs them."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Final

from model_cache.errors import UsageError

# The extra that installs each package.
_EXTRAS: Final = {
    "defusedxml": "files",
    "openpyxl": "files",
    "pandas": "pandas",
    "polars": "polars",
    "pyarrow": "tables",
    "pypdf": "files",
}


def require_package(package: str, needed_for: str, instead: str = "") -> None:
    """Check that a package is installed, without importing it.

    Args:
        package: its name.
        needed_for: what needs it, as "a file in XLSX".
        instead: what to do without it, as "write csv".

    Raises:
        UsageError: when it is not installed.
    """
    if is_installed(package):
        return
    remedy = f"pip install 'qda-worker[{_EXTRAS[package]}]'"
    raise UsageError(
        f"{needed_for} needs the package {package}, which is not installed",
        f"{remedy}, or {instead}" if instead else remedy,
    )


def import_package(module: str, needed_for: str, instead: str = "") -> ModuleType:
    """Return a module of a package; for the arguments see `require_package`.

    Raises:
        UsageError: when the package is not installed.
    """
    require_package(module.partition(".")[0], needed_for, instead)
    return import_module(module)


def is_installed(package: str) -> bool:
    """Return whether a package can be found."""
    return find_spec(package) is not None
