"""The number of usable CPUs follows quota and affinity, not the cores of the node."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from qda_worker.cpu import cgroup_quota, limit_math_threads, usable_cpus


def write_files(root: Path, contents: dict[str, str]) -> Path:
    for name, content in contents.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


V2_POD: Final = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}
V2_NESTED: Final = {
    "proc/self/cgroup": "0::/kubepods/pod1/worker\n",
    "sys/fs/cgroup/kubepods/cpu.max": "max 100000\n",
    "sys/fs/cgroup/kubepods/pod1/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/kubepods/pod1/worker/cpu.max": "400000 100000\n",
}
V1: Final = {
    "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n",
    "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
    "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
}
V1_HOST_PATH: Final = {
    "proc/self/cgroup": "4:cpuacct,cpu:/docker/0123\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
}
V1_UNLIMITED: Final = {
    "proc/self/cgroup": "4:cpu:/\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
}


@pytest.mark.parametrize(
    ("contents", "quota", "cpus"),
    [
        pytest.param(V2_POD, 2.5, 2, id="v2: rounded down"),
        pytest.param(V2_NESTED, 1.5, 1, id="v2: the minimum of all parent groups"),
        pytest.param(V1, 3.0, 3, id="v1"),
        pytest.param(V1_HOST_PATH, 0.5, 1, id="v1 in a container: the path is the host's; never below one"),
        pytest.param(V1_UNLIMITED, None, 16, id="v1 without a quota"),
        pytest.param({}, None, 16, id="no control groups"),
    ],
)
def test_quota_of_the_control_group(
    tmp_path: Path, contents: dict[str, str], quota: float | None, cpus: int
) -> None:
    root = write_files(tmp_path, contents)
    assert cgroup_quota(root) == quota
    assert usable_cpus(root=root, affinity=16) == cpus


def test_an_affinity_below_the_quota_counts(tmp_path: Path) -> None:
    assert usable_cpus(root=write_files(tmp_path, V1), affinity=2) == 2


def test_this_machine_has_at_least_one_cpu() -> None:
    assert usable_cpus() >= 1


def test_numpys_threads_follow_the_quota_unless_the_user_says_otherwise() -> None:
    environ = {"OMP_NUM_THREADS": "7"}
    limit_math_threads(environ, 2)
    assert environ["OMP_NUM_THREADS"] == "7"
    assert environ["OPENBLAS_NUM_THREADS"] == environ["MKL_NUM_THREADS"] == "2"


def test_the_program_limits_the_threads_before_numpy_is_imported() -> None:
    code = (
        "import os, sys, qda_worker.cli as cli\n"
        "assert 'numpy' not in sys.modules\n"
        "sys.argv[1:] = ['--version']\n"
        "try:\n    cli.main()\nfinally:\n    print(os.environ['OPENBLAS_NUM_THREADS'])\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.stdout.splitlines()[-1:] == [str(usable_cpus())], shown.stderr
