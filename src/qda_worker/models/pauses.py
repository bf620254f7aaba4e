"""Points inside a computation at which its thread may do something else, or give the computation up.

A model calls `pause_point` between the parts of a long computation. The thread that computes decides what happens
there: it runs the computation inside `pausing(callback)`, and each pause point calls the callback in the same thread.
The callback may compute another batch with the same model, so a model keeps no state of a batch outside its call. It
may also raise `BatchAbandoned`, which leaves the computation.

The callback belongs to the thread, not to the model: a computation outside `pausing` has no pauses.

What is computed beside the batches of a queue, such as a measurement, takes turns with them by a `TakeTurn`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol, TypeAlias


class BatchAbandoned(BaseException):
    """The results of the running batch are not needed any more. Libraries must not handle it like an error."""


class Turn(Protocol):
    """A turn at the CPUs, which its holder gives away to work that is due."""

    def give_way(self) -> bool:
        """Let other work compute if it is due, and wait for the next turn. Return whether that happened."""


# Waits for a turn, and holds it in its block.
TakeTurn: TypeAlias = Callable[[], AbstractContextManager[Turn]]


class _OnlyTurn:
    def give_way(self) -> bool:
        return False


@contextmanager
def only_turn() -> Iterator[Turn]:
    """Be the turn of a computation that shares the CPUs with none."""
    yield _OnlyTurn()


class _Thread(threading.local):
    callback: Callable[[], None] | None = None


_THREAD: Final = _Thread()


@contextmanager
def pausing(callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` at each pause point that this thread meets in the block, instead of an outer block's."""
    outer, _THREAD.callback = _THREAD.callback, callback
    try:
        yield
    finally:
        _THREAD.callback = outer


def pause_point() -> None:
    """Call the callback of the innermost `pausing` block of this thread, if there is one."""
    if _THREAD.callback is not None:
        _THREAD.callback()
