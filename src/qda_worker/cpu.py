"""The number of CPUs that this process may use.

A pod sees all cores of its node. With one compute thread a core and a CPU quota of two, the kernel throttles the
threads most of the time (text-embeddings-inference issue 170: 16.87 requests a second drop to 1.82). Thread counts
therefore follow the CPU quota of the control group and the scheduling affinity, not the number of cores.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path, PurePosixPath
from typing import Final

# The controller list of cgroup v2 in /proc/self/cgroup: its one hierarchy has an empty list.
_UNIFIED: Final = ""
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
    quotas = [quota for controllers, group in _groups(root) for quota in _quotas(root, controllers, group)]
    return min(quotas, default=None)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(root: Path) -> list[tuple[str, PurePosixPath]]:
    """Return (controllers, path of the group) of the hierarchies that may hold a CPU quota."""
    groups = []
    for line in _read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == _UNIFIED or "cpu" in controllers.split(","):
            groups.append((controllers, PurePosixPath(group)))
    return groups


def _quotas(root: Path, controllers: str, group: PurePosixPath) -> list[float]:
    """Return the quotas of `group` and its parents, in CPUs.

    In a container the path may be that of the host while the container's group is mounted at the top; then only the top
    is found.
    """
    quotas = []
    for path in (group, *group.parents):
        relative = path.relative_to("/") if path.is_absolute() else path
        if controllers == _UNIFIED:
            quota = _v2_quota(_read_text(root / "sys/fs/cgroup" / relative / "cpu.max"))
        else:
            folder = _v1_mount(root, controllers) / relative
            quota = _v1_quota(
                _read_text(folder / "cpu.cfs_quota_us"), _read_text(folder / "cpu.cfs_period_us")
            )
        if quota is not None:
            quotas.append(quota)
    return quotas


def _v1_mount(root: Path, controllers: str) -> Path:
    mounts = root / "sys/fs/cgroup"
    return mounts / controllers if (mounts / controllers).is_dir() else mounts / "cpu"


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


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""  # not Linux, or no control groups
