"""When Ctrl-C and SIGTERM raise: not within gRPC's calls, not while a result is written, and the second one at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest

from qda_worker.client.cli.signals import close_on_signal, hold_signals
from qda_worker.client.errors import CallCancelled


class Raised(BaseException):
    """What the handler of the program raises, with the number of the signal."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Let both signals raise `Raised`, as the program lets them raise its own exceptions."""

    def raise_it(number: int, _: object) -> None:
        raise Raised(number)

    former = {number: signal.signal(number, raise_it) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def closed_call() -> tuple[Callable[[], None], Callable[[], None]]:
    """Return how to close a client, and a call that ends only by that, as gRPC's do."""
    closed = threading.Event()

    def call() -> None:
        assert closed.wait(30)
        raise CallCancelled("the client was closed")

    return closed.set, call


def send(numbers: list[signal.Signals], done: list[str]) -> None:
    """Raise signals, and add the name of each whose handler returned."""
    for number in numbers:
        signal.raise_signal(number)
        done.append(number.name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_call_closes_the_client_and_raises_when_the_call_has_ended(number: int) -> None:
    close, call = closed_call()

    def interrupted_call() -> None:
        signal.raise_signal(number)  # a handler that raised here would skip the call
        call()

    with pytest.raises(Raised) as raised, close_on_signal(close):
        interrupted_call()
    assert raised.value.args == (number,)
    assert raised.value.__cause__ is None


def test_a_signal_at_the_end_of_a_call_that_succeeds_raises_too() -> None:
    done: list[str] = []
    with pytest.raises(Raised), close_on_signal(lambda: None):
        send([signal.SIGINT], done)
    assert done == ["SIGINT"]


def test_an_error_of_a_call_without_a_signal_is_raised_and_nothing_is_closed() -> None:
    closed: list[bool] = []
    with pytest.raises(CallCancelled), close_on_signal(lambda: closed.append(True)):
        raise CallCancelled("by the worker")
    assert closed == []
    with pytest.raises(Raised):  # the former handler is there again
        signal.raise_signal(signal.SIGINT)


def test_another_error_than_that_of_the_closed_client_is_not_hidden_by_a_signal() -> None:
    def fail() -> None:
        signal.raise_signal(signal.SIGINT)
        raise OSError("full")

    with pytest.raises(OSError, match="full"), close_on_signal(lambda: None):
        fail()


def test_the_second_signal_raises_at_once() -> None:
    done: list[str] = []
    with pytest.raises(Raised) as raised, close_on_signal(lambda: None):
        send([signal.SIGINT, signal.SIGTERM], done)
    assert (raised.value.args, done) == ((signal.SIGTERM,), ["SIGINT"])


@pytest.mark.parametrize(("signals", "passed"), [(1, 1), (2, 1)])
@pytest.mark.parametrize("in_call", [False, True])
def test_a_write_is_completed_after_one_signal_and_ended_by_the_second(
    in_call: bool, signals: int, passed: int
) -> None:
    done: list[str] = []
    with pytest.raises(Raised), close_on_signal(lambda: None) if in_call else nullcontext(), hold_signals():
        send([signal.SIGINT] * signals, done)
    assert len(done) == passed


def test_threads_other_than_the_main_one_keep_their_handlers() -> None:
    seen = []

    def run() -> None:
        with close_on_signal(lambda: None), hold_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
