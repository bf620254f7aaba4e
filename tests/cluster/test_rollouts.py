"""No call of the project's client is lost while workers are deleted, killed, rolled out and rolled back.

What counts as failed: `tests.support.call_load`. gRPC alone, with the service config of docs/calling.md, is counted as
well: by the headless name nothing may fail either. `benchmarks.rollouts` is the long form.
"""

from collections.abc import Callable
from typing import Final

import pytest

from tests.cluster.disruptions import (
    delete_gracefully,
    kill_by_force,
    roll_back,
    start_load,
    table,
    upgrade,
)
from tests.cluster.kubectl import Kubectl
from tests.cluster.release import FIRST, WAIT, Release
from tests.support.service_config import documented_service_config

TWO: Final = (
    "--set=cache.accessModes={ReadWriteMany}",
    "--set=worker.replicas=2",
    "--set=worker.drainDelaySeconds=5",
)
NEW_PODS: Final = "--set=worker.podAnnotations.rollout=second"


@pytest.fixture
def two_workers(new_release: Callable[..., Release]) -> Release:
    release = new_release("rollouts")
    release("install", *FIRST, *TWO, *WAIT)
    return release


def test_no_call_is_lost_while_every_worker_is_replaced(
    two_workers: Release, kubectl: Kubectl, worker_image: str
) -> None:
    """One test, because the load goes on from one disruption to the next."""
    load = start_load(two_workers, worker_image, 5, documented_service_config())
    disruptions: tuple[tuple[str, Callable[[], object]], ...] = (
        ("delete", lambda: delete_gracefully(two_workers, 1)),
        ("kill", lambda: kill_by_force(two_workers, 1)),
        ("upgrade", lambda: upgrade(two_workers, *FIRST, *TWO, NEW_PODS)),
        ("rollback", lambda: roll_back(two_workers)),
    )
    for name, disrupt in disruptions:
        load.phase(name)
        disrupt()
    report = load.stop()

    assert {entry["phase"] for entry in report} >= {"delete", "kill", "upgrade", "rollback"}
    by_headless_name = [entry for entry in report if "headless" in entry["target"]]
    own = [entry for entry in report if entry["source"] != "plain"]
    assert not any(entry["failed"] for entry in [*own, *by_headless_name]), table(report)
