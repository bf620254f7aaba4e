"""Rules for every test: an environment of its own, no access to other machines, no silent skip in CI, other systems."""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final, TypeVar

import pytest

from tests.support.not_on import excluded

# Skips that CI accepts, by the beginning of the test's id, each with its reason. Empty: CI has all that the tests need.
ALLOWED_SKIPS: Final[dict[str, str]] = {}

# Variables that decide where libraries search, which servers they use and what they send. A test sets what it needs.
FOREIGN_PREFIXES: Final = (
    "HF_", "HUGGING_FACE_", "HUGGINGFACE_", "KUBE", "OTEL_", "QDA_", "SENTENCE_TRANSFORMERS_", "SPACY_", "SSL_CERT_",
    "TORCH_", "TRANSFORMERS_", "XDG_",
)  # fmt: skip
FOREIGN_SUFFIXES: Final = ("_CA_BUNDLE", "_PROXY")

# Tests that do not run on this system.
_EXCLUDED: Final = excluded()
_ROOT: Final = Path(__file__).parents[1]

_in_ci = os.environ.get("CI", "").lower() not in {"", "0", "false"}
_home = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Clean the environment before any test module is imported: libraries read theirs at import."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell ignores SIGINT for what it starts with `&`, and so would every program that a test interrupts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name.upper().startswith(FOREIGN_PREFIXES) or name.upper().endswith(FOREIGN_SUFFIXES):
            del os.environ[name]
    home = tempfile.TemporaryDirectory(prefix="home-")
    config.stash[_home] = home
    os.environ["HOME"] = os.environ["USERPROFILE"] = home.name
    sys.addaudithook(_stay_on_this_machine)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_home].cleanup()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out files and folders of tests that do not run on this system."""
    if not collection_path.is_relative_to(_ROOT):
        return None
    return True if _EXCLUDED.has_path(collection_path.relative_to(_ROOT).as_posix()) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect single tests that do not run on this system."""
    left_out = [item for item in items if _EXCLUDED.has_test(item.nodeid)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path) -> Iterator[None]:
    """Give each test an empty home, and restore the environment after it."""
    before = dict(os.environ)
    home = tmp_path / "home"
    home.mkdir()
    os.environ["HOME"] = os.environ["USERPROFILE"] = str(home)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def own_log_levels() -> None:
    """Start each test with Python's own levels, whatever a program that ran in this process before has set."""
    logging.disable(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
    for name in ("cache_warmer", "model_cache", "qda_worker"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Yield a folder that all users may enter, for tests that act as another user of this machine.

    Pytest keeps its own below one that it closes to other users whenever a session starts, also to those of a session
    that runs beside it; opening that from a test holds no longer.
    """
    with tempfile.TemporaryDirectory(prefix="public-", ignore_cleanup_errors=True) as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path.resolve()


class LeftThisMachineError(RuntimeError):
    """A test tried to reach another machine."""


def _stay_on_this_machine(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse connections and look-ups that leave this machine.

    It sees what goes through Python's sockets, thus httpx, requests and urllib; gRPC has sockets of its own.
    """
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a Unix socket has no host
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode()
    if (
        not isinstance(host, str)
        or not host
        or host.startswith("127.")
        or host in {"::1", "localhost", "0.0.0.0", "::"}
    ):
        return
    if host.endswith(".invalid"):  # reserved never to resolve (RFC 6761): for tests of unknown names
        return
    raise LeftThisMachineError(f"tests reach nothing but this machine, and this one wanted {host}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return refuse_silent_skip(report) if _in_ci else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return refuse_silent_skip(report) if _in_ci else report


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def refuse_silent_skip(report: Report) -> Report:
    """Turn a skip into a failure, unless ALLOWED_SKIPS has its reason, because a skipped test checks nothing."""
    expected_failure = hasattr(report, "wasxfail")  # pytest reports these as skipped, too
    if report.skipped and not expected_failure and not report.nodeid.startswith(tuple(ALLOWED_SKIPS)):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CI skips nothing in silence, and this was skipped: {reason}"
    return report
