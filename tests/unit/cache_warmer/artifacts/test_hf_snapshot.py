"""Pure decisions: which files, what they must be, when to try again, who ends a run."""

import threading
import time
from functools import partial
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cache_warmer.artifacts.hf_snapshot import expected, select
from cache_warmer.errors import ContentMismatch, HubNotFound, Interrupted
from cache_warmer.hub.client import RemoteFile
from cache_warmer.hub.retry import Retry, retry_after
from cache_warmer.transfer.pool import Stop, run_all
from model_cache.catalog.lock import LockedFile

SMALL: Final = RemoteFile("config.json", 10, "1" * 40, None)
BIG: Final = RemoteFile("model.bin", 1000, "2" * 40, "3" * 64)
DEEP: Final = RemoteFile("sub/deep/a.json", 5, "4" * 40, None)
ODD: Final = RemoteFile("odd[1].json", 5, "5" * 40, None)


def names(*patterns: str) -> list[str]:
    return [file.path for file in select((SMALL, BIG, DEEP, ODD), patterns, "org/name")]


def test_names_and_patterns_pick_files_once_and_in_order() -> None:
    assert names("model.bin", "*.json", "config.json") == [
        "config.json", "model.bin", "odd[1].json", "sub/deep/a.json",
    ]  # fmt: skip
    assert names("sub/*") == ["sub/deep/a.json"]


def test_a_name_with_brackets_is_a_name_before_it_is_a_pattern() -> None:
    assert names("odd[1].json") == ["odd[1].json"]


def test_a_pattern_that_picks_nothing_is_named() -> None:
    with pytest.raises(HubNotFound, match=r'"\*\.onnx"'):
        names("config.json", "*.onnx")


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a\x00b", "a//b", "x" * 300, "a\\b"])
def test_a_listed_name_that_is_no_safe_path_is_refused(path: str) -> None:
    with pytest.raises(ContentMismatch, match="which"):
        select((RemoteFile(path, 1, "1" * 40, None),), ("*",), "org/name")


def test_an_unsafe_name_that_is_not_wanted_is_no_matter() -> None:
    assert select((SMALL, RemoteFile("../x", 1, "1" * 40, None)), ("config.json",), "org/name") == (SMALL,)


def test_without_a_lock_the_hub_says_what_must_arrive() -> None:
    small, big = expected(SMALL, {}, "x"), expected(BIG, {}, "x")

    assert (small.bytes, small.sha256, small.git_sha1, small.said_by) == (10, None, "1" * 40, "hub")
    assert (big.bytes, big.sha256, big.git_sha1, big.said_by) == (1000, "3" * 64, None, "hub")


def test_a_lock_adds_what_the_hub_does_not_say() -> None:
    facts = expected(SMALL, {"config.json": LockedFile(None, "9" * 64, None)}, "x")

    assert (facts.bytes, facts.sha256, facts.git_sha1, facts.said_by) == (10, "9" * 64, "1" * 40, "lock")


def test_a_lock_that_knows_nothing_says_nothing() -> None:
    assert expected(SMALL, {"config.json": LockedFile(None, None, None)}, "x").said_by == "hub"


@pytest.mark.parametrize(
    ("file", "locked"),
    [
        (SMALL, LockedFile(11, None, None)),
        (SMALL, LockedFile(None, None, "9" * 40)),
        (BIG, LockedFile(None, "9" * 64, None)),
    ],
)
def test_a_lock_and_a_hub_that_contradict_each_other_stop_the_run(
    file: RemoteFile, locked: LockedFile
) -> None:
    with pytest.raises(ContentMismatch, match="the lock says"):
        expected(file, {file.path: locked}, "org/name")


def test_a_pointers_git_name_is_no_contents_git_name() -> None:
    assert expected(BIG, {"model.bin": LockedFile(1000, None, "9" * 40)}, "x").git_sha1 is None


@given(some.integers(1, 60), some.floats(0, 1))
def test_waits_double_up_to_a_limit_and_are_spread(failures: int, draw: float) -> None:
    retry = Retry(first=0.5, longest=8.0, draw=lambda: draw)
    whole = min(8.0, 0.5 * 2.0 ** (failures - 1))

    assert whole / 2 <= retry.delay(failures) <= whole


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-3", 0.0),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, now=10.0) == seconds


def test_results_come_in_the_order_of_the_tasks() -> None:
    def task(number: int) -> int:
        time.sleep(0.01 * (3 - number))
        return number

    assert run_all([partial(task, number) for number in range(4)], 4, Stop()) == [0, 1, 2, 3]


def test_no_more_tasks_run_at_once_than_allowed() -> None:
    lock, running, most = threading.Lock(), [0], [0]

    def task() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.005)
        with lock:
            running[0] -= 1

    run_all([task] * 12, 3, Stop())
    assert most[0] == 3


def test_the_first_failure_stops_the_others_and_is_raised() -> None:
    stop = Stop()

    def fail() -> None:
        raise HubNotFound("gone", "look")

    with pytest.raises(HubNotFound):
        run_all([fail, lambda: stop.sleep(60), lambda: stop.sleep(60)], 3, stop)
    with pytest.raises(Interrupted):
        stop.check()
