"""Problems of failed system calls that a test cannot cause on a real disk."""

import errno
import os

import pytest

from model_cache.check.files import Remedies, problem_from_error
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
def test_a_failed_system_call_has_the_reason_of_its_errno(number: int, reason: Reason) -> None:
    problem = problem_from_error("/c/f", OSError(number, os.strerror(number), "/c/f"), Remedies())
    assert (problem.file, problem.reason) == ("/c/f", reason)
    assert problem.remedy


def test_a_name_with_a_nul_is_corrupt() -> None:
    assert (
        problem_from_error("/c/f", ValueError("embedded null byte"), Remedies()).reason
        is Reason.CACHE_CORRUPT
    )


def test_the_remedy_names_the_file_that_cannot_be_read() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/c/blobs/x")
    problem = problem_from_error("/c/f", error, Remedies())
    assert "/c/blobs/x" in problem.remedy
