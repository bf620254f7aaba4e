"""Making the next thing while the last one is used: one step ahead, and never more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TypeVar

Made = TypeVar("Made")


async def one_ahead(made: AsyncGenerator[Made]) -> AsyncGenerator[Made]:
    """What `made` makes, each while the one before it is in use.

    So two are held at most, however slowly they are taken. Ending early cancels the one that is being made.
    """
    being_made = _next(made)
    try:
        while True:
            try:
                done = await being_made
            except StopAsyncIteration:
                return
            being_made = _next(made)
            yield done
    finally:
        being_made.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await being_made
        await made.aclose()


def _next(made: AsyncGenerator[Made]) -> asyncio.Task[Made]:
    return asyncio.ensure_future(_anext(made))


async def _anext(made: AsyncGenerator[Made]) -> Made:
    return await anext(made)
