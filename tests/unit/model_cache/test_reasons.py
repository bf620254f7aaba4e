"""The exit codes of the reasons, which scripts and Jobs rely on."""

from typing import Final

import pytest

from model_cache.reasons import Reason

EXIT_CODES: Final = {
    "OK": 0, "USAGE": 2, "CATALOG_INVALID": 3, "CACHE_INCOMPLETE": 10, "CACHE_CORRUPT": 11, "MODEL_UNUSABLE": 12,
    "CATALOG_DRIFTED": 13, "GATE_FAILED": 14, "HUB_UNAUTHORIZED": 20, "HUB_NOT_FOUND": 21, "HUB_UNREACHABLE": 22,
    "HUB_UNTRUSTED": 23, "HUB_BUSY": 24, "HUB_STALLED": 25, "CONTENT_MISMATCH": 26, "NO_SPACE": 30,
    "NO_PERMISSION": 31, "VOLUME_UNSUITABLE": 32, "VOLUME_UNAVAILABLE": 33, "LEASE_HELD": 40, "LEASE_LOST": 41,
    "INTERNAL": 50, "INTERRUPTED": 130,
}  # fmt: skip


def test_every_reason_has_the_exit_code_of_the_contract() -> None:
    assert {str(reason): reason.exit_code for reason in Reason} == EXIT_CODES


@pytest.mark.parametrize("reason", Reason)
def test_the_retryable_reasons_are_those_of_the_contract(reason: Reason) -> None:
    assert reason.retryable == (reason.exit_code in {22, 24, 25, 33, 40, 41, 130})
