"""The packages that formats of output files need, which a base install does not have."""

from importlib.util import find_spec
from typing import Final

from model_cache.errors import UsageError

# For each format: its name in messages, the package, and the extra that installs it.
_NEEDED: Final = {"xlsx": ("XLSX", "openpyxl", "files"), "parquet": ("Parquet", "pyarrow", "tables")}


def require_package(form: str) -> None:
    """Check that the package for a format is installed, without importing it.

    Args:
        form: the end of the format's file names, without the dot; most need no package.

    Raises:
        UsageError: when it is not installed.
    """
    if form not in _NEEDED:
        return
    name, package, extra = _NEEDED[form]
    if find_spec(package) is None:
        raise UsageError(
            f"{name} needs the package {package}, which is not installed",
            f"pip install 'qda-worker[{extra}]', or write csv",
        )
