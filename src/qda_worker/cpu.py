"""How many CPUs this process may really use.

A pod sees all cores of its node; with one compute thread a core and a quota of two, the kernel stops the threads
most of the time (text-embeddings-inference issue 170: 16.87 down to 1.82 requests a second). So the quota of the
control group and the affinity decide, not the number of cores.
"""

import os
from pathlib import Path, PurePosixPath
from typing import Final

# The controller list of the one hierarchy of cgroup v2 in /proc/self/cgroup.
_UNIFIED: Final = ""


def usable_cpus(*, root: Path = Path("/"), affinity: int | None = None) -> int:
    """Whole CPUs for this process: the least of its affinity and the quotas of its cgroup and all above it.

    root: where `proc` and `sys` are. affinity: CPUs it may be scheduled on; None asks the kernel.
    Quotas are rounded down, but never below 1: a thread too many is stopped by the kernel, one too few only waits.
    """
    if affinity is None:
        affinity = _affinity()
    quota = cgroup_quota(root)
    return max(1, affinity if quota is None else min(affinity, int(quota)))


def cgroup_quota(root: Path) -> float | None:
    """The smallest CPU quota that applies to this process, in CPUs; None if there is none. Versions 1 and 2."""
    quotas = [quota for controllers, group in _groups(root) for quota in _quotas(root, controllers, group)]
    return min(quotas, default=None)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(root: Path) -> list[tuple[str, PurePosixPath]]:
    """(controllers, path of the group) for the hierarchies that may hold a CPU quota."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == _UNIFIED or "cpu" in controllers.split(","):
            found.append((controllers, PurePosixPath(group)))
    return found


def _quotas(root: Path, controllers: str, group: PurePosixPath) -> list[float]:
    """The quotas of `group` and of all above it.

    In a container the path may be the host's while the files are mounted at the top; then only the top is found.
    """
    quotas = []
    for above in (group, *group.parents):
        inside = above.relative_to("/") if above.is_absolute() else above
        if controllers == _UNIFIED:
            quota = _v2(_text(root / "sys/fs/cgroup" / inside / "cpu.max"))
        else:
            folder = _v1_mount(root, controllers) / inside
            quota = _v1(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))
        if quota is not None:
            quotas.append(quota)
    return quotas


def _v1_mount(root: Path, controllers: str) -> Path:
    mounts = root / "sys/fs/cgroup"
    return mounts / controllers if (mounts / controllers).is_dir() else mounts / "cpu"


def _v2(text: str) -> float | None:
    """`cpu.max`: "QUOTA PERIOD" in microseconds, or "max PERIOD"."""
    fields = text.split()
    if len(fields) != 2 or fields[0] == "max" or int(fields[1]) <= 0:
        return None
    return int(fields[0]) / int(fields[1])


def _v1(quota: str, period: str) -> float | None:
    """`cpu.cfs_quota_us` is -1 without a quota."""
    if not quota.strip() or not period.strip() or int(quota) <= 0 or int(period) <= 0:
        return None
    return int(quota) / int(period)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""  # not Linux, or no control groups: no quota to find
