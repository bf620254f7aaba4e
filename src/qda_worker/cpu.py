"""The number of CPUs that this process may use.

A pod sees all cores of its node. With one compute thread a core and a CPU quota of two, the kernel throttles the
threads most of the time (text-embeddings-inference issue 170: 16.87 requests a second drop to 1.82). Thread counts
therefore follow the CPU quota of the control group and the scheduling affinity, not the number of cores.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from model_cache.cgroups import GroupFolder, group_folders, read_file

# Variables from which OpenMP and the BLAS libraries under numpy take their number of threads when they are loaded.
MATH_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


def limit_math_threads(environ: MutableMapping[str, str], threads: int) -> None:
    """Make numpy's libraries use `threads` threads, unless the user has set a number. Call this before numpy's import.

    They would start one thread per core of the node, whatever the quota is.
    """
    for variable in MATH_THREAD_VARIABLES:
        environ.setdefault(variable, str(threads))


def usable_cpus(*, root: Path = Path("/"), affinity: int | None = None) -> int:
    """Return the number of whole CPUs for this process: the minimum of its affinity and its CPU quotas.

    A quota is rounded down, but not below 1: the kernel throttles a thread too many, while one too few costs less.

    Args:
        root: the folder that holds `proc` and `sys`.
        affinity: the number of CPUs that the process may be scheduled on; None reads it from the kernel.
    """
    if affinity is None:
        affinity = _affinity()
    quota = cgroup_quota(root)
    return max(1, affinity if quota is None else min(affinity, int(quota)))


def cgroup_quota(root: Path) -> float | None:
    """Return the smallest CPU quota of this process's control group and its parents, in CPUs; None without one.

    Reads cgroup v1 and v2.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    quotas = (_quota(folder) for folder in group_folders(root, "cpu"))
    return min((quota for quota in quotas if quota is not None), default=None)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(folder: GroupFolder) -> float | None:
    if folder.is_unified:
        return _v2_quota(read_file(folder.path / "cpu.max"))
    return _v1_quota(
        read_file(folder.path / "cpu.cfs_quota_us"), read_file(folder.path / "cpu.cfs_period_us")
    )


def _v2_quota(text: str) -> float | None:
    """Parse `cpu.max`: "QUOTA PERIOD" in microseconds, or "max PERIOD"."""
    fields = text.split()
    if len(fields) != 2 or fields[0] == "max" or int(fields[1]) <= 0:
        return None
    return int(fields[0]) / int(fields[1])


def _v1_quota(quota: str, period: str) -> float | None:
    """Parse `cpu.cfs_quota_us`, which is -1 without a quota, and `cpu.cfs_period_us`."""
    if not quota.strip() or not period.strip() or int(quota) <= 0 or int(period) <= 0:
        return None
    return int(quota) / int(period)
