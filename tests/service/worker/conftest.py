"""One cache for all of these tests, and one worker that is ready, for those that only ask.

To start one costs seven seconds of a core. So this one logs all it can and tells health and metrics too; whatever was
asked of it, nothing may have gone wrong inside.
"""

from collections.abc import Iterator

import grpc
import pytest

from tests.service.worker.fixtures import World, make_world
from tests.service.worker.process import ServeProcess, serving


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A complete cache. Nobody changes it: tests that break one copy it."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def worker(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """A ready worker of that cache."""
    arguments = ["--catalog", str(world.catalog_file), "--cache", str(world.cache), "--no-fetch", "--verbose"]
    arguments += ["--health-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    with serving(tmp_path_factory.mktemp("worker"), *arguments, TRANSFORMERS_VERBOSITY="debug") as process:
        process.wait_until_ready()
        yield process
        assert process.health() == "SERVING"
        assert process.events("call.bug") == []
        assert "Traceback" not in process.log


@pytest.fixture
def channel(worker: ServeProcess) -> Iterator[grpc.Channel]:
    """A channel to the ready worker."""
    with worker.channel() as opened:
        yield opened
