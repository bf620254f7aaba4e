"""The values of a diagnosis: findings with severity, reason and remedy, their order, and the exit code.

A finding never shows a secret. Messages are built from paths and addresses that `model_cache.urls` has shortened; as a
second line of defence, `without_secrets` replaces every known secret of the environment in every text of a finding.
"""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote, urlsplit

from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from model_cache.urls import without_passwords

# Names of variables whose values are secrets.
_SECRET_NAME: Final = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
# A shorter value is no secret of a service, and would hide parts of words.
_MIN_SECRET: Final = 4
_HIDDEN: Final = "…"
# Of findings with the same severity, the worst reason first; others follow in the order of the checks.
_RANK: Final = (
    Reason.NO_SPACE,
    Reason.NO_PERMISSION,
    Reason.VOLUME_UNSUITABLE,
    Reason.VOLUME_UNAVAILABLE,
    Reason.CACHE_CORRUPT,
    Reason.CACHE_INCOMPLETE,
    Reason.CATALOG_INVALID,
    Reason.USAGE,
    Reason.HUB_UNTRUSTED,
    Reason.HUB_UNAUTHORIZED,
    Reason.HUB_NOT_FOUND,
    Reason.HUB_UNREACHABLE,
)


class Severity(StrEnum):
    """How bad a finding is; worst first."""

    # Something does not work, or will not. The program ends with the exit code of its reason.
    ERROR = "error"
    # It works, and surprises or costs something.
    WARNING = "warning"
    # Worth knowing when something else is wrong.
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. The fields are those of the JSON document.

    Attributes:
        severity: how bad it is.
        check: what was examined, as a word that does not change: `ignored-variable`.
        reason: the reason of the exit code.
        message: what was found.
        remedy: what to do; empty if nothing needs to be done.
        paths: the files and folders that it is about, if they are many.
        bytes: how much space it costs; 0 if none, or not known.
    """

    severity: Severity
    check: str
    reason: Reason
    message: str
    remedy: str = ""
    paths: tuple[str, ...] = ()
    bytes: int = 0


def from_error(error: ModelCacheError, check: str, severity: Severity = Severity.ERROR) -> Finding:
    """Return the finding that an error of this project means."""
    return Finding(severity, check, error.reason, error.message, error.remedy)


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, worst first."""
    return tuple(sorted(findings, key=_badness))


def worst_error(findings: Sequence[Finding]) -> Reason:
    """Return the reason of the worst error; `OK` if there is none."""
    errors = [one for one in sort_findings(findings) if one.severity is Severity.ERROR]
    return errors[0].reason if errors else Reason.OK


def secrets_of(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the values in the environment that must not be shown: tokens, and passwords of addresses."""
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET_NAME.search(name) and not name.upper().endswith(("_PATH", "_FILE")):
            found |= {value, value.strip()}
        if "@" in value:
            found |= _passwords(value)
    return frozenset(one for one in found if len(one) >= _MIN_SECRET)


def hide(text: str, secrets: Collection[str]) -> str:
    """Return a text with every secret replaced, and addresses without passwords."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return without_passwords(text)


def without_secrets(finding: Finding, secrets: Collection[str]) -> Finding:
    """Return the finding with every secret in its texts replaced."""
    return dataclasses.replace(
        finding,
        message=hide(finding.message, secrets),
        remedy=hide(finding.remedy, secrets),
        paths=tuple(hide(path, secrets) for path in finding.paths),
    )


def _badness(finding: Finding) -> tuple[int, int, int]:
    rank = _RANK.index(finding.reason) if finding.reason in _RANK else len(_RANK)
    return list(Severity).index(finding.severity), rank, -finding.bytes


def _passwords(address: str) -> set[str]:
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        password = parts.password
    except ValueError:
        password = None
    before = address.rpartition("@")[0].rpartition("://")[2].partition(":")[2]
    return {one for one in (password, unquote(password or ""), before) if one}
