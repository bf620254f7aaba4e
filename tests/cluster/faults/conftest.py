"""What the tests of faults share: a hub with a large file, commands of the node, and releases of one small worker.

Run them with `make test-cluster-faults`; the variables of `tests/cluster/conftest.py` name what the cluster can do.
"""

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.hub_control import HubControl
from tests.cluster.kubectl import Kubectl, eventually

_COMMAND_SECONDS: Final = 240.0
_TEST_SECONDS: Final = 900
LARGE_BYTES: Final = 256 << 20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests more time than others: they wait for backoffs, Leases and rollouts."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS))


@pytest.fixture(scope="session")
def large_bytes() -> int:
    """Return the size of the hub's large file, which takes several range requests."""
    return LARGE_BYTES


@pytest.fixture
def hub(kubectl: Kubectl) -> Iterator[HubControl]:
    """Yield the control of the hub, with an empty log; no fault is left after the test."""
    control = HubControl(kubectl)
    control.clear()
    control.forget()
    yield control
    control.clear()


@dataclass(frozen=True, slots=True)
class NodePrograms:
    """The programs of the cluster's only node.

    Attributes:
        kubectl: the namespace.
        stop_command, start_command: see `tests/cluster/conftest.py`.
    """

    kubectl: Kubectl
    stop_command: str
    start_command: str

    def stop(self, program: str) -> None:
        """Stop a program, such as `kubelet`."""
        run_in_shell(self.stop_command, program)

    def start(self) -> None:
        """Start all programs that were stopped, and wait for the API server."""
        run_in_shell(self.start_command)
        eventually("the API server", lambda: self.kubectl.says("get", "--raw=/readyz").code == 0)

    def away(self, program: str, seconds: float) -> None:
        """Stop a program for that long."""
        self.stop(program)
        try:
            time.sleep(seconds)
        finally:
            self.start()


def run_in_shell(command: str, *words: str) -> None:
    """Run a shell command with the words in place of its `{}`. Raises `AssertionError` if it fails."""
    line = command.format(*(shlex.quote(word) for word in words))
    # No pipe for the output: the programs that it starts would keep it open.
    done = subprocess.run(
        ["sh", "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, line


@pytest.fixture
def node_command(pytestconfig: pytest.Config) -> Callable[[str], str]:
    """Return the shell command that an option gives; skip the test without it."""

    def find(option: str) -> str:
        return str(pytestconfig.getoption(option) or "") or pytest.skip(f"no command was given with {option}")

    return find


@pytest.fixture
def node_programs(kubectl: Kubectl, node_command: Callable[[str], str]) -> Iterator[NodePrograms]:
    """Yield access to the programs of the node; all of them run after the test."""
    programs = NodePrograms(kubectl, node_command("--stop-command"), node_command("--start-command"))
    yield programs
    programs.start()
