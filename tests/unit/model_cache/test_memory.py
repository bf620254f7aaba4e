"""The memory of a container is read from control groups of both versions."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.memory import MemoryUse, memory_use, oom_kills

MEBIBYTE: Final = 2**20
STAT: Final = f"anon {300 * MEBIBYTE}\ninactive_file {50 * MEBIBYTE}\nodd line of words\n"
V2: Final = {
    "proc/self/cgroup": "0::/pod/worker\n",
    "sys/fs/cgroup/pod/memory.current": f"{900 * MEBIBYTE}\n",
    "sys/fs/cgroup/pod/memory.max": f"{500 * MEBIBYTE}\n",
    "sys/fs/cgroup/pod/worker/memory.current": f"{350 * MEBIBYTE}\n",
    "sys/fs/cgroup/pod/worker/memory.max": "max\n",
    "sys/fs/cgroup/pod/worker/memory.stat": STAT,
    "sys/fs/cgroup/pod/worker/memory.events": "low 0\nmax 5\noom 1\noom_kill 2\n",
}
V1_HOST_PATH: Final = {
    "proc/self/cgroup": "9:cpu:/x\n8:memory:/kubepods/pod1/0123\n0::/kubepods/pod1/0123\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{400 * MEBIBYTE}\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{400 * MEBIBYTE}\n",
    "sys/fs/cgroup/memory/memory.stat": STAT,
    "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
}
V1_UNLIMITED: Final = {
    "proc/self/cgroup": "8:memory:/\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{40 * MEBIBYTE}\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
}


@pytest.mark.parametrize(
    ("contents", "use", "kills"),
    [
        pytest.param(V2, MemoryUse(300 * MEBIBYTE, 500 * MEBIBYTE), 2, id="v2: the limit of a parent binds"),
        pytest.param(V1_HOST_PATH, MemoryUse(350 * MEBIBYTE, 400 * MEBIBYTE), 1, id="v1 in a container"),
        pytest.param(V1_UNLIMITED, MemoryUse(40 * MEBIBYTE), 0, id="v1 without a limit"),
        pytest.param({"proc/self/cgroup": "nonsense\n"}, None, 0, id="an unknown format"),
        pytest.param({}, None, 0, id="no control groups"),
    ],
)
def test_memory_of_the_control_group(
    tmp_path: Path, contents: dict[str, str], use: MemoryUse | None, kills: int
) -> None:
    for name, content in contents.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    assert memory_use(tmp_path) == use
    assert oom_kills(tmp_path) == kills


def test_a_use_is_shown_in_the_units_of_kubernetes() -> None:
    assert str(MemoryUse(389 * MEBIBYTE, 400 * MEBIBYTE)) == "389Mi of 400Mi"
    assert str(MemoryUse(389 * MEBIBYTE)) == "389Mi (without a limit)"
    assert MemoryUse(389 * MEBIBYTE, 400 * MEBIBYTE).is_near_limit
    assert not MemoryUse(100 * MEBIBYTE, 400 * MEBIBYTE).is_near_limit
    assert not MemoryUse(100 * MEBIBYTE).is_near_limit
