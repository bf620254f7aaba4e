"""One worker with the four small models for all examples and pages."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo import steps
from tests.support.small_models import small_models


@dataclass(frozen=True, slots=True)
class Served:
    """The worker.

    Attributes:
        target: its address for gRPC.
        url: its address for HTTP.
        cache: the folder with its models.
    """

    target: str
    url: str
    cache: Path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Warm a cache, start a worker and yield its addresses once it serves."""
    folder = tmp_path_factory.mktemp("worker")
    models = small_models()
    cache, log = folder / "cache", folder / "worker.log"
    options = ("--catalog", str(models.catalog), "--cache", str(cache))
    steps.fill(models.hub, folder / "hub.log", options)
    # One engine: nothing has to be measured before it serves.
    with steps.worker((*options, "--engine", "torch", "--http-listen", "127.0.0.1:0"), log) as client:
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]
        [port] = [line["port"] for line in lines if line["event"] == "http.listening"]
        yield Served(client.settings.target, f"http://127.0.0.1:{port}", cache)


@pytest.fixture(scope="session")
def target(served: Served) -> str:
    """Return the worker's address for gRPC."""
    return served.target


@pytest.fixture(scope="session")
def url(served: Served) -> str:
    """Return the worker's address for HTTP."""
    return served.url
