"""Order and exit code of findings, and secrets that no text of a finding shows."""

import pytest

from cache_warmer.doctor.diagnosis import (
    Finding,
    Severity,
    secrets_of,
    sort_findings,
    without_secrets,
    worst_error,
)
from model_cache.reasons import Reason


def finding(severity: Severity, reason: Reason = Reason.USAGE, message: str = "", cost: int = 0) -> Finding:
    return Finding(severity, "any", reason, message, bytes=cost)


def test_the_worst_finding_comes_first() -> None:
    note, warning = finding(Severity.NOTE), finding(Severity.WARNING)
    small, big = (finding(Severity.WARNING, Reason.CACHE_INCOMPLETE, cost=cost) for cost in (1, 10**9))
    usage, full = finding(Severity.ERROR), finding(Severity.ERROR, Reason.NO_SPACE)

    ordered = sort_findings([note, warning, small, usage, big, full])

    assert ordered == (full, usage, big, small, warning, note)
    assert worst_error(ordered) is Reason.NO_SPACE


def test_warnings_and_notes_alone_are_no_error() -> None:
    assert worst_error([finding(Severity.WARNING, Reason.NO_SPACE), finding(Severity.NOTE)]) is Reason.OK


@pytest.mark.parametrize(
    ("environ", "secret"),
    [
        ({"HF_TOKEN": "hf_not_to_be_seen"}, "hf_not_to_be_seen"),
        ({"HF_TOKEN": " hf_not_to_be_seen\n"}, "hf_not_to_be_seen"),
        ({"MY_API_KEY": "key-of-another"}, "key-of-another"),
        ({"HTTPS_PROXY": "http://user:pass%2Fword@proxy:3128"}, "pass/word"),
        ({"https_proxy": "user:with/slash@proxy:3128"}, "with/slash"),
    ],
)
def test_secrets_of_the_environment_are_in_no_text(environ: dict[str, str], secret: str) -> None:
    text = f"the library says {secret} about it"
    shown = without_secrets(
        Finding(Severity.NOTE, "any", Reason.OK, text, text, (text,)), secrets_of(environ)
    )
    assert secret not in shown.message + shown.remedy + "".join(shown.paths)
    assert shown.message.startswith("the library says")


def test_the_folder_of_a_token_is_no_secret() -> None:
    assert (
        secrets_of({"HF_TOKEN_PATH": "/data/token", "QDA_TOKEN_FILE": "/run/token", "HF_TOKEN": ""})
        == frozenset()
    )
