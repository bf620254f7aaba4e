"""How many threads this process computes with, how its idle threads wait, and what its math libraries keep.

A pod sees all cores of its node. With one compute thread a core and a CPU quota of two, the kernel throttles the
threads most of the time (text-embeddings-inference issue 170: 16.87 requests a second drop to 1.82). The number of
threads therefore follows, in this order: the option `--threads`, the CPU quota of the control group, the CPU request
of the container, which only its environment tells, and the scheduling affinity. It is read once, at start.

The number holds for the threads of torch, of the BLAS libraries, and of the server's pools.

Idle threads of OpenMP poll for 3 ms after each parallel region before they sleep, and those of OpenBLAS for 30 ms. On
cores that other processes need, polling takes the time of threads that have work, so that two workers on one node slow
each other. Sleeping too soon makes a worker that is alone slower: the regions of one forward pass over a short text are
10 to 60 microseconds apart, in which Python prepares the next one, and to wake a thread takes as long. So idle threads
poll for about 100 microseconds, which is longer than these gaps and short beside the milliseconds for which the kernel
takes a CPU away (`benchmarks.neighbours`). It is set for this process and all that it starts.

oneDNN, in torch and in OpenVINO, compiles kernels for each new size of a matrix, and keeps 1,024 of them. A
process with one layer of BERT base grows by 100 MB over 450 shapes, and by 55 MB if it keeps 64 (measured).
"""

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Final

from model_cache.cgroups import GroupFolder, group_folders, read_file
from model_cache.errors import UsageError
from model_cache.urls import shown_value

# The CPU request of the container in thousandths of a CPU, as the downward API gives it with the divisor 1m: 0 if the
# container has none.
CPU_REQUEST_VARIABLE: Final = "QDA_CPU_REQUEST_MILLICORES"
# Variables from which OpenMP and the BLAS libraries under numpy take their number of threads when they are loaded.
MATH_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
# How long idle threads poll. GCC's OpenMP counts loops, 70 to 100 of which take a microsecond; those of Intel and LLVM
# take milliseconds; OpenBLAS polls for 2**N cycles, N from 4.
WAIT_VARIABLES: Final = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}
# Number of compiled kernels that oneDNN keeps: those of about 30 shapes.
KERNEL_VARIABLES: Final = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
# The standard's variable. A library that has a more specific one ignores it.
_WAIT_POLICY: Final = "OMP_WAIT_POLICY"
_OF_OPENMP: Final = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")


class ThreadSource(StrEnum):
    """What the number of threads follows from."""

    OPTION = "option"
    QUOTA = "quota"
    REQUEST = "request"
    AFFINITY = "affinity"


@dataclass(frozen=True, slots=True)
class CpuBudget:
    """The CPUs of this process, and the number of threads that follows from them.

    Attributes:
        threads: number of compute threads, at least 1.
        source: what the number follows from.
        affinity: number of CPUs that the process may be scheduled on.
        quota: CPU quota of the control group, in CPUs; None without one.
        request: CPU request of the container, in CPUs; None if there is none or it is not known.
    """

    threads: int
    source: ThreadSource
    affinity: int
    quota: float | None = None
    request: float | None = None

    @property
    def exceeds_quota(self) -> bool:
        """Whether the kernel throttles the process as soon as all its threads compute."""
        return self.quota is not None and self.threads > self.quota


def configure_math_libraries(environ: MutableMapping[str, str], threads: int) -> None:
    """Set what numpy's and torch's libraries start, how that waits, and what it keeps, unless the user has set it.

    Call this before numpy or torch is imported, because the libraries read the variables when they are loaded. They
    would start one thread per core of the node, whatever the quota is.
    """
    for variable in MATH_THREAD_VARIABLES:
        environ.setdefault(variable, str(threads))
    for variable, value in KERNEL_VARIABLES.items():
        environ.setdefault(variable, value)
    for variable, value in WAIT_VARIABLES.items():
        if _WAIT_POLICY not in environ or variable not in _OF_OPENMP:
            environ.setdefault(variable, value)
        elif environ.get(variable) == value:
            del environ[variable]  # it is the image's, and the libraries would prefer it to the user's policy


def cpu_budget(
    environ: Mapping[str, str],
    *,
    threads: int | None = None,
    root: Path = Path("/"),
    affinity: int | None = None,
) -> CpuBudget:
    """Return the number of threads to compute with, and what it follows from.

    A quota is rounded down, but not below 1, because the kernel throttles a thread too many, while one too few costs
    less. A request is rounded up, because the kernel lets a pod exceed it. Neither counts beyond the affinity.

    Args:
        environ: the environment variables, for the CPU request.
        threads: the number that the user has chosen; None for none.
        root: the folder that holds `proc` and `sys`.
        affinity: the number of CPUs that the process may be scheduled on; None reads it from the kernel.

    Raises:
        UsageError: the variable of the CPU request has a wrong value.
    """
    affinity = affinity or _affinity()
    quota, request = cgroup_quota(root), _cpu_request(environ)
    number, source = affinity, ThreadSource.AFFINITY
    if threads is not None:
        number, source = threads, ThreadSource.OPTION
    elif quota is not None and int(quota) < affinity:
        number, source = max(1, int(quota)), ThreadSource.QUOTA
    elif quota is None and request is not None and ceil(request) < affinity:
        number, source = ceil(request), ThreadSource.REQUEST
    return CpuBudget(number, source, affinity, quota, request)


def cgroup_quota(root: Path) -> float | None:
    """Return the smallest CPU quota of this process's control group and its parents, in CPUs; None without one.

    Reads cgroup v1 and v2.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    quotas = (_quota(folder) for folder in group_folders(root, "cpu"))
    return min((quota for quota in quotas if quota is not None), default=None)


def cpu_flags(root: Path = Path("/")) -> frozenset[str]:
    """Return the features of the CPU as Linux names them, such as `avx512_vnni`; empty where it does not.

    Args:
        root: the folder that holds `proc`.
    """
    for line in read_file(root / "proc" / "cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, Arm
            return frozenset(value.split())
    return frozenset()


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(folder: GroupFolder) -> float | None:
    if folder.is_unified:
        return _v2_quota(read_file(folder.path / "cpu.max"))
    return _ratio(read_file(folder.path / "cpu.cfs_quota_us"), read_file(folder.path / "cpu.cfs_period_us"))


def _v2_quota(text: str) -> float | None:
    """Parse `cpu.max`: "QUOTA PERIOD" in microseconds, or "max PERIOD"."""
    quota, _, period = text.strip().partition(" ")
    return _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    """Return the quota in CPUs; None for "max", -1, nothing, and whatever else is not two positive numbers.

    Args:
        quota: microseconds of CPU time in a period; v1 writes -1 for no quota, v2 "max".
        period: microseconds.
    """
    try:
        microseconds, in_period = int(quota), int(period)
    except ValueError:
        return None
    return microseconds / in_period if microseconds > 0 and in_period > 0 else None


def _cpu_request(environ: Mapping[str, str]) -> float | None:
    text = environ.get(CPU_REQUEST_VARIABLE, "")
    if text and not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise UsageError(
            f'{CPU_REQUEST_VARIABLE}: found "{shown_value(text)[:200]}"',
            "give the CPU request in thousandths of a CPU, such as 1500, or unset it",
        )
    return int(text) / 1000 if int(text or 0) > 0 else None
