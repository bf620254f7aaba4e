"""Campaign: replace workers on a Kubernetes cluster in all ways, under load, and count the calls that fail.

A release with two workers and the small models of the cluster tier gets a constant load from a pod, by the name of each
of its two services: the project's sync and async client (unary calls, streams of documents and of vectors), gRPC alone
with the service config of docs/calling.md, and ghz where that is installed (without retries, as it takes no service
config). Meanwhile workers are deleted, killed by force, evicted, rolled out and rolled back, again and again.

    QDA_TEST_IMAGE_TAG=dev .venv/bin/python -m benchmarks.rollouts --calls 50000

It uses the cluster of KUBECONFIG and a namespace of its own. Printed are the seconds until the workers were ready after
the installation and each disruption, and for each kind of disruption and source: calls, failed ones and the slowest.
The exit code is 1 if a call of the project's client failed.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.cluster import demo_hub
from tests.cluster.disruptions import (
    delete_gracefully,
    evict,
    kill_by_force,
    roll_back,
    start_load,
    table,
    upgrade,
    wait_until_ready,
)
from tests.cluster.kubectl import Kubectl
from tests.cluster.release import FIRST, Release
from tests.support.service_config import documented_service_config
from tests.support.small_models import small_models

VALUES: Final = ("--set=cache.accessModes={ReadWriteMany}", "--set=worker.replicas=2")
# The sources that may fail: they retry less than the project's client, or not at all.
OTHER_CLIENTS: Final = {"plain", "ghz"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rollouts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--calls", type=int, default=50_000, help="disrupt until so many calls were made (default: 50000)"
    )
    parser.add_argument(
        "--rate", type=float, default=15.0, help="calls a second of each unary source (default: 15)"
    )
    parser.add_argument(
        "--namespace", default="qda-rollouts", help="created, and deleted at the end (default: qda-rollouts)"
    )
    parser.add_argument("--drain-delay", type=int, default=5, help="worker.drainDelaySeconds (default: 5)")
    parser.add_argument(
        "--values", action="append", default=[], metavar="FILE", help="further values of the chart"
    )
    options = parser.parse_args(arguments)
    registry, tag = (os.environ.get(f"QDA_TEST_IMAGE_{name}") for name in ("REGISTRY", "TAG"))
    images = (f"--set=image.registry={registry or 'localhost'}", f"--set=image.tag={tag or 'dev'}")
    kubectl = Kubectl(options.namespace, os.environ.get("KUBECONFIG", ""))
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": options.namespace}})
    release = Release("rollouts-qda-worker", kubectl, images)
    try:
        return _run(release, f"{registry or 'localhost'}/qda-worker:{tag or 'dev'}", options)
    finally:
        release.remove()
        kubectl.says("delete", "namespace", options.namespace, "--wait=false")


def _run(release: Release, image: str, options: argparse.Namespace) -> int:
    models = small_models()
    demo_hub.write_catalogs(models)
    demo_hub.start(release.kubectl, image, models)
    more = [f"--values={file}" for file in options.values]
    values = (*FIRST, *VALUES, f"--set=worker.drainDelaySeconds={options.drain_delay}", *more)
    began = time.monotonic()
    release("install", *values)
    wait_until_ready(release)
    print(f"install: ready after {time.monotonic() - began:.1f} s", flush=True)

    load = start_load(release, image, options.rate, documented_service_config())
    ghz = shutil.which("ghz")
    if ghz:
        load.give_ghz(Path(ghz))
    turn = 0
    try:
        while load.calls() < options.calls:
            turn += 1
            for name, disrupt in _disruptions(release, values, turn).items():
                load.phase(name)
                print(f"{name} {turn}: ready after {disrupt():.1f} s, {load.calls()} calls", flush=True)
        load.phase("afterwards")
        time.sleep(10)
    finally:
        report = load.stop()
        print(table(report))
    return int(any(entry["failed"] for entry in report if entry["source"] not in OTHER_CLIENTS))


def _disruptions(release: Release, values: Sequence[str], turn: int) -> dict[str, Callable[[], float]]:
    new_pods = f"--set-string=worker.podAnnotations.turn={turn}"
    return {
        "delete": lambda: delete_gracefully(release),
        "forced kill": lambda: kill_by_force(release),
        "eviction": lambda: evict(release),
        "upgrade": lambda: upgrade(release, *values, new_pods),
        "rollback": lambda: roll_back(release),
    }


if __name__ == "__main__":
    sys.exit(main())
