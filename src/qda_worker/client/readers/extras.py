"""Import the packages of the extra `files`, which a base install does not have."""

from importlib import import_module
from types import ModuleType

from model_cache.errors import UsageError


def import_extra(module: str, needed_for: str) -> ModuleType:
    """Return a module of the extra `files`.

    Args:
        module: its name.
        needed_for: what is read with it, as "Excel workbooks".

    Raises:
        UsageError: when it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            f"{needed_for} cannot be read: the package {module.partition('.')[0]} is not installed",
            "install the extra files: pip install 'qda-worker[files]'",
        ) from error
