"""How failed system calls on a listed file are told; those that a test cannot cause on a real disk."""

import errno
import os

import pytest

from model_cache.check.files import Remedies, problem_of
from model_cache.reasons import Reason


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, Reason.NO_PERMISSION),
        (errno.EPERM, Reason.NO_PERMISSION),
        (errno.EIO, Reason.NO_PERMISSION),
        (errno.ESTALE, Reason.NO_PERMISSION),
        (errno.ENOENT, Reason.CACHE_INCOMPLETE),
        (errno.ENOTDIR, Reason.CACHE_CORRUPT),
        (errno.ELOOP, Reason.CACHE_CORRUPT),
        (errno.ENAMETOOLONG, Reason.CACHE_CORRUPT),
    ],
)
def test_a_failed_call_has_the_reason_that_its_remedy_needs(number: int, reason: Reason) -> None:
    problem = problem_of("/c/f", OSError(number, os.strerror(number), "/c/f"), Remedies())
    assert (problem.file, problem.reason) == ("/c/f", reason)
    assert problem.remedy


def test_a_name_that_no_system_call_takes_is_corrupt() -> None:
    assert problem_of("/c/f", ValueError("embedded null byte"), Remedies()).reason is Reason.CACHE_CORRUPT


def test_what_cannot_be_read_is_named_where_it_is_another_file() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/c/blobs/x")
    problem = problem_of("/c/f", error, Remedies())
    assert "/c/blobs/x" in problem.remedy
