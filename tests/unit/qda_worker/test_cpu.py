"""The number of threads follows option, quota, request and affinity; idle threads of the libraries sleep."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from qda_worker.cpu import (
    CPU_REQUEST_VARIABLE,
    KERNEL_VARIABLES,
    MATH_THREAD_VARIABLES,
    WAIT_VARIABLES,
    CpuBudget,
    ThreadSource,
    cgroup_quota,
    configure_math_libraries,
    cpu_budget,
)


def write_files(root: Path, contents: dict[str, str]) -> Path:
    for name, content in contents.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


V2_POD: Final = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}
V2_HALF: Final = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}
V2_OTHER_PERIOD: Final = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "30000 10000\n"}
V2_UNLIMITED: Final = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}
V2_NO_PERIOD: Final = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000\n"}
V2_NESTED: Final = {
    "proc/self/cgroup": "0::/kubepods/pod1/worker\n",
    "sys/fs/cgroup/kubepods/cpu.max": "max 100000\n",
    "sys/fs/cgroup/kubepods/pod1/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/kubepods/pod1/worker/cpu.max": "400000 100000\n",
}
V2_HOST_PATH: Final = {
    "proc/self/cgroup": "0::/kubepods.slice/pod1.slice/cri-containerd-0123.scope\n",
    "sys/fs/cgroup/cpu.max": "200000 100000\n",
}
V2_OUTSIDE: Final = {
    "proc/self/cgroup": "0::/../../pod2/worker\n",
    "sys/fs/cgroup/cpu.max": "200000 100000\n",
    "sys/fs/pod2/worker/cpu.max": "100000 100000\n",
}
V1: Final = {
    "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n",
    "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
    "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
}
V1_NESTED: Final = {
    "proc/self/cgroup": "4:cpu,cpuacct:/kubepods/burstable/pod1/worker\n",
    "sys/fs/cgroup/cpu,cpuacct/kubepods/burstable/pod1/cpu.cfs_quota_us": "250000\n",
    "sys/fs/cgroup/cpu,cpuacct/kubepods/burstable/pod1/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/kubepods/burstable/pod1/worker/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu,cpuacct/kubepods/burstable/pod1/worker/cpu.cfs_period_us": "100000\n",
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
# Both versions at once, as systemd's hybrid layout has them: the controller is in v1.
HYBRID: Final = {
    "proc/self/cgroup": "4:cpu:/a\n0::/user.slice\n",
    "sys/fs/cgroup/unified/user.slice/cgroup.procs": "",
    "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "200000\n",
    "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
}
QUOTA, REQUEST, AFFINITY = ThreadSource.QUOTA, ThreadSource.REQUEST, ThreadSource.AFFINITY


@pytest.mark.parametrize(
    ("contents", "quota", "threads", "source"),
    [
        pytest.param(V2_POD, 2.5, 2, QUOTA, id="v2: rounded down"),
        pytest.param(V2_HALF, 0.5, 1, QUOTA, id="v2: never below one"),
        pytest.param(V2_OTHER_PERIOD, 3.0, 3, QUOTA, id="v2 with another period"),
        pytest.param(V2_UNLIMITED, None, 16, AFFINITY, id="v2 without a quota"),
        pytest.param(V2_NO_PERIOD, None, 16, AFFINITY, id="v2 without a period"),
        pytest.param(V2_NESTED, 1.5, 1, QUOTA, id="v2: the minimum of all parent groups"),
        pytest.param(V2_HOST_PATH, 2.0, 2, QUOTA, id="v2 in a container: the path is the host's"),
        pytest.param(V2_OUTSIDE, 2.0, 2, QUOTA, id="v2: a path outside the namespace is not followed"),
        pytest.param(V1, 3.0, 3, QUOTA, id="v1"),
        pytest.param(V1_NESTED, 2.5, 2, QUOTA, id="v1: the quota of a parent group"),
        pytest.param(V1_HOST_PATH, 0.5, 1, QUOTA, id="v1 in a container: the path is the host's"),
        pytest.param(V1_UNLIMITED, None, 16, AFFINITY, id="v1 without a quota"),
        pytest.param(HYBRID, 2.0, 2, QUOTA, id="v1 and v2"),
        pytest.param({}, None, 16, AFFINITY, id="no control groups"),
    ],
)
def test_the_threads_follow_the_quota_of_the_control_group(
    tmp_path: Path, contents: dict[str, str], quota: float | None, threads: int, source: ThreadSource
) -> None:
    root = write_files(tmp_path, contents)
    assert cgroup_quota(root) == quota
    assert cpu_budget({}, root=root, affinity=16) == CpuBudget(threads, source, 16, quota)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "max\n", "max max\n", "0 100000\n", "-1 100000\n", "1 0\n", "x y\n", "1e5 1e5\n", "\x00 ä"],
)
def test_a_quota_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    v1 = {name: text for name in V1 if name != "proc/self/cgroup"}
    for number, contents in enumerate(({**V2_POD, "sys/fs/cgroup/cpu.max": text}, {**V1, **v1})):
        assert cgroup_quota(write_files(tmp_path / str(number), contents)) is None


@pytest.mark.parametrize("text", ["", "\n", "0\n", "0:cpu\n", "::\n", "no group\n", "0::\n", "0::/a\x00b\n"])
def test_a_list_of_groups_that_cannot_be_read_has_no_quota(tmp_path: Path, text: str) -> None:
    contents = {"proc/self/cgroup": text, "sys/fs/cgroup/cpu.max": "max 100000\n"}
    assert cgroup_quota(write_files(tmp_path, contents)) is None


@pytest.mark.parametrize(
    ("request_text", "threads", "source"),
    [
        pytest.param("1000", 1, REQUEST, id="whole"),
        pytest.param("250", 1, REQUEST, id="below one"),
        pytest.param("1500", 2, REQUEST, id="rounded up, because a pod may exceed its request"),
        pytest.param("64000", 16, AFFINITY, id="not beyond the affinity"),
        pytest.param("0", 16, AFFINITY, id="a container without a request"),
        pytest.param("", 16, AFFINITY, id="not in Kubernetes"),
    ],
)
def test_without_a_quota_the_threads_follow_the_request(
    tmp_path: Path, request_text: str, threads: int, source: ThreadSource
) -> None:
    root = write_files(tmp_path, V2_UNLIMITED)
    budget = cpu_budget({CPU_REQUEST_VARIABLE: request_text}, root=root, affinity=16)
    assert (budget.threads, budget.source) == (threads, source)


def test_a_quota_precedes_the_request_and_the_option_precedes_both(tmp_path: Path) -> None:
    root, environ = write_files(tmp_path, V1), {CPU_REQUEST_VARIABLE: "1000"}
    assert cpu_budget(environ, root=root, affinity=16) == CpuBudget(3, QUOTA, 16, 3.0, 1.0)
    assert cpu_budget(environ, root=root, affinity=2) == CpuBudget(2, AFFINITY, 2, 3.0, 1.0)
    chosen = cpu_budget(environ, threads=5, root=root, affinity=2)
    assert chosen == CpuBudget(5, ThreadSource.OPTION, 2, 3.0, 1.0)


@pytest.mark.parametrize("text", ["1.5", "500m", "-1", "one", "٣", " 1"])
def test_a_wrong_request_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match=CPU_REQUEST_VARIABLE):
        cpu_budget({CPU_REQUEST_VARIABLE: text})


def test_more_threads_than_the_quota_are_throttled(tmp_path: Path) -> None:
    root = write_files(tmp_path, V2_POD)
    assert not cpu_budget({}, root=root, affinity=16).exceeds_quota
    assert cpu_budget({}, threads=3, root=root, affinity=16).exceeds_quota
    assert cpu_budget({}, root=write_files(tmp_path, V2_HALF), affinity=16).exceeds_quota
    assert not CpuBudget(4, AFFINITY, 4).exceeds_quota


def test_this_machine_has_at_least_one_cpu() -> None:
    assert cpu_budget({}).threads >= 1


def test_the_libraries_follow_the_number_unless_the_user_says_otherwise() -> None:
    environ = {"OMP_NUM_THREADS": "7", "GOMP_SPINCOUNT": "0", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "9"}
    configure_math_libraries(environ, 2)
    assert (environ["OMP_NUM_THREADS"], environ["GOMP_SPINCOUNT"]) == ("7", "0")
    assert environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "9"
    assert environ["OPENBLAS_NUM_THREADS"] == environ["MKL_NUM_THREADS"] == "2"
    plain: dict[str, str] = {}
    configure_math_libraries(plain, 2)
    assert KERNEL_VARIABLES.items() <= plain.items()


@pytest.mark.parametrize("image", [{}, WAIT_VARIABLES], ids=["host", "image"])
def test_a_wait_policy_of_the_user_counts_for_every_library(image: dict[str, str]) -> None:
    environ = {**image, "OMP_WAIT_POLICY": "ACTIVE"}
    configure_math_libraries(environ, 2)
    assert {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}.isdisjoint(environ)
    assert environ["OPENBLAS_THREAD_TIMEOUT"] == "4"


def test_the_image_sets_the_same_waiting_for_every_program_in_it() -> None:
    dockerfile = (Path(__file__).parents[3] / "images/worker/Dockerfile").read_text("utf-8")
    for variable, value in WAIT_VARIABLES.items():
        assert f" {variable}={value}" in dockerfile


@pytest.mark.parametrize("program", ["serve", "probe"])
def test_the_programs_set_the_variables_before_a_library_reads_them(tmp_path: Path, program: str) -> None:
    """The libraries' own reports count: OpenMP's at its load, and the threads of the pools."""
    start = {
        "serve": "from qda_worker.cli import qda_worker\nrun = lambda: qda_worker(['serve', *options])\n",
        "probe": "from qda_worker.probe import run_probe\nrun = lambda: run_probe(['key', *options], {}, '')\n",
    }[program]
    code = (
        f"import sys\n{start}"
        "assert not {'numpy', 'torch'} & set(sys.modules)\n"
        f"options = ['--threads', '1', '--cache', 'host', '--catalog', {str(tmp_path / 'missing.yaml')!r}]\n"
        "from model_cache.errors import ModelCacheError\n"
        "try:\n    run()\nexcept ModelCacheError:\n    pass\n"
        "import numpy, torch\nfrom threadpoolctl import threadpool_info\n"
        "print(sorted({(pool['user_api'], pool['num_threads']) for pool in threadpool_info()}))\n"
    )
    unset = {*MATH_THREAD_VARIABLES, *WAIT_VARIABLES, "OMP_WAIT_POLICY"}
    environ = {name: value for name, value in os.environ.items() if name not in unset}
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**environ, "OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert shown.stdout.splitlines()[-1:] == ["[('blas', 1), ('openmp', 1)]"], shown.stderr
    assert "GOMP_SPINCOUNT = '10000'" in shown.stderr
