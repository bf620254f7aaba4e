"""The memory of this container: what it uses, its limit, and whether the kernel has killed a process in it.

The use is that of `kubectl top pod`, the working set: without pages of files that were not used recently, which the
kernel drops before it kills anything.
"""

from pathlib import Path
from typing import Final, NamedTuple

from model_cache.cgroups import GroupFolder, group_folders, read_file

# cgroup v1 writes a number near 2**63 for "no limit".
_NO_LIMIT: Final = 2**60
# Share of the limit from which an end without a shutdown is taken for one by the memory limit.
_NEAR_LIMIT: Final = 0.8
_MEBIBYTE: Final = 2**20


class MemoryUse(NamedTuple):
    """The memory of a container.

    Attributes:
        used: its working set, in bytes.
        limit: its limit in bytes; 0 without one.
    """

    used: int
    limit: int = 0

    @property
    def is_near_limit(self) -> bool:
        """Whether so much of the limit is used that little may exceed it."""
        return bool(self.limit) and self.used >= _NEAR_LIMIT * self.limit

    def __str__(self) -> str:
        """Return the use in the units of Kubernetes: `389Mi of 400Mi`."""
        used = f"{self.used // _MEBIBYTE}Mi"
        return f"{used} of {self.limit // _MEBIBYTE}Mi" if self.limit else f"{used} (without a limit)"


def memory_use(root: Path = Path("/")) -> MemoryUse | None:
    """Return the memory of this process's control group; None if it is not known.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    uses = [use for folder in group_folders(root, "memory") if (use := _group_use(folder)) is not None]
    if not uses:
        return None
    # A limit of a parent binds too, as that of a pod; the use is that of the innermost group that is found.
    limits = [use.limit for use in uses if use.limit]
    return MemoryUse(uses[0].used, min(limits, default=0))


def oom_kills(root: Path = Path("/")) -> int:
    """Return how many processes of this control group the kernel has killed because of the memory limit.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    for folder in group_folders(root, "memory"):
        name = "memory.events" if folder.is_unified else "memory.oom_control"
        if (count := _fields(folder.path / name).get("oom_kill")) is not None:
            return count
    return 0


def _group_use(folder: GroupFolder) -> MemoryUse | None:
    usage, limit = ("memory.current", "memory.max")
    if not folder.is_unified:
        usage, limit = ("memory.usage_in_bytes", "memory.limit_in_bytes")
    used = _number(read_file(folder.path / usage))
    if used is None:
        return None
    inactive = _fields(folder.path / "memory.stat").get("inactive_file", 0)
    bound = _number(read_file(folder.path / limit)) or 0
    return MemoryUse(max(0, used - inactive), bound if bound < _NO_LIMIT else 0)


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdecimal() else None


def _fields(file: Path) -> dict[str, int]:
    """Return the numbers of a file of `NAME NUMBER` lines."""
    pairs = (line.split() for line in read_file(file).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
