"""The fake worker, and both clients at it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Final

import pytest

from qda_worker.client import AsyncClient, Client, Settings
from tests.support.fake_worker import FakeWorker

Ask = Callable[..., Any]
ITERATORS: Final = ("analyze", "embed_stream")


@pytest.fixture
def worker() -> Iterator[FakeWorker]:
    """A worker that serves."""
    started = FakeWorker().start()
    yield started
    started.stop()


@pytest.fixture
def client(worker: FakeWorker) -> Iterator[Client]:
    """The sync client, connected to the worker."""
    with Client(worker.target) as connected:
        yield connected


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Calls a method of a fresh client by its name, of the sync and of the async one: both must behave the same."""

    def ask_sync(settings: Settings, method: str, *arguments: Any, **options: Any) -> Any:
        with Client(settings) as client:
            answer = getattr(client, method)(*arguments, **options)
            return list(answer) if method in ITERATORS else answer

    def ask_async(settings: Settings, method: str, *arguments: Any, **options: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(settings) as client:
                if method in ITERATORS:
                    return [result async for result in getattr(client, method)(*arguments, **options)]
                return await getattr(client, method)(*arguments, **options)

        return asyncio.run(run())

    return ask_sync if request.param == "sync" else ask_async


async def as_async(items: Iterable[Any]) -> AsyncIterator[Any]:
    """An async iterator of the items."""
    for item in items:
        yield item
