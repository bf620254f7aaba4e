"""One cache for all of these tests, and one ready worker for the tests that only send requests.

Starting a worker takes seven seconds of a core. The shared one logs at level debug and serves HTTP, health and metrics.
After all tests it must still be healthy and must have logged no internal error.
"""

from collections.abc import Iterator

import grpc
import pytest

from tests.service.worker.fixtures import CacheFixture, create_cache
from tests.service.worker.process import ServeProcess, serving


@pytest.fixture(scope="session")
def cache_fixture(tmp_path_factory: pytest.TempPathFactory) -> CacheFixture:
    """Return a complete cache. Tests that change a cache copy it first."""
    return create_cache(tmp_path_factory.mktemp("cache_fixture"))


@pytest.fixture(scope="session")
def worker(cache_fixture: CacheFixture, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """Start a worker on that cache and wait until it is ready."""
    arguments = [
        "--catalog",
        str(cache_fixture.catalog_file),
        "--cache",
        str(cache_fixture.cache),
        "--no-fetch",
        "--verbose",
    ]
    arguments += ["--health-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    arguments += ["--http-listen", "127.0.0.1:0"]
    with serving(tmp_path_factory.mktemp("worker"), *arguments, TRANSFORMERS_VERBOSITY="debug") as process:
        process.wait_until_ready()
        yield process
        assert process.health() == "SERVING"
        assert process.events("call.bug") == []
        assert "Traceback" not in process.log


@pytest.fixture
def channel(worker: ServeProcess) -> Iterator[grpc.Channel]:
    """Open a channel to the ready worker."""
    with worker.channel() as opened:
        yield opened


@pytest.fixture
def http_url(worker: ServeProcess) -> str:
    """Return the address of the ready worker's HTTP port, as a URL without a path."""
    return f"http://127.0.0.1:{worker.wait_for_event('http.listening')['port']}"
