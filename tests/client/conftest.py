"""A fake worker, and both clients connected to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Final

import pytest

from qda_worker.client import AsyncClient, Client, Settings
from tests.support.fake_worker import FakeWorker

Invoke = Callable[..., Any]
ITERATORS: Final = ("analyze", "embed_stream")


@pytest.fixture
def worker() -> Iterator[FakeWorker]:
    """Start a worker that serves."""
    started = FakeWorker().start()
    yield started
    started.stop()


@pytest.fixture
def client(worker: FakeWorker) -> Iterator[Client]:
    """Connect a sync client to the worker."""
    with Client(worker.target) as connected:
        yield connected


@pytest.fixture(params=["sync", "async"])
def invoke(request: pytest.FixtureRequest) -> Invoke:
    """Return a function that calls a method of a new client by name; once for each of the two clients."""

    def invoke_sync(settings: Settings, method: str, *arguments: Any, **options: Any) -> Any:
        with Client(settings) as client:
            answer = getattr(client, method)(*arguments, **options)
            return list(answer) if method in ITERATORS else answer

    def invoke_async(settings: Settings, method: str, *arguments: Any, **options: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(settings) as client:
                if method in ITERATORS:
                    return [result async for result in getattr(client, method)(*arguments, **options)]
                return await getattr(client, method)(*arguments, **options)

        return asyncio.run(run())

    return invoke_sync if request.param == "sync" else invoke_async


async def as_async(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Yield the items asynchronously."""
    for item in items:
        yield item
