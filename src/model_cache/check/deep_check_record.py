"""Result of the last deep check of a generation: a file on the volume, so that a program that only reads can tell it.

`cache-warmer verify` and `cache-warmer repair` hash every file, which takes minutes. They write what they found to
`deep-checks/<generation>.json`, by rename. Workers export it as metrics and `GetCacheStatus`, and `cache-check` shows
it. It is information about the time of that check: whether a cache is complete is decided by the check alone.

A finding about a file lapses when the file is replaced by any program: each finding holds the time at which the
file's content was last modified, in milliseconds, because file systems keep smaller fractions differently. Inodes are
not compared, because some network file systems number them differently for each mount.

The file was perhaps written by others. One that cannot be read or parsed counts as no deep check.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from model_cache.check.types import CheckReport, Problem, worst_reason
from model_cache.file_io import read_small_file
from model_cache.formatting import count_of, printable
from model_cache.json_values import parse_json_object, to_json_text
from model_cache.layout import deep_check_path
from model_cache.places import PlaceName, Places
from model_cache.reasons import Reason
from model_cache.safe_names import unsafe_reason

# Findings of one model that are listed; more are only counted.
MAX_LISTED: Final = 100
# Limit of the file, in bytes.
MAX_RECORD_BYTES: Final = 4 * 2**20
# Format of the time; `cache-check` prints it as it is.
TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MAX_TEXT_CHARACTERS: Final = 2000
_MAX_COUNT: Final = 2**63 - 1


class Finding(NamedTuple):
    """One bad file.

    Attributes:
        model: key of its model; empty for a file of the whole cache, such as a manifest.
        place: the place of the file.
        path: its path in the place.
        reason: kind of the problem.
        detail: what was found, as the end of a sentence that begins with the file.
        modified: when its content was last modified, in milliseconds since 1970; None: it was missing.
    """

    model: str
    place: PlaceName
    path: str
    reason: Reason
    detail: str
    modified: int | None


class DeepCheckRecord(NamedTuple):
    """The result of one deep check.

    Attributes:
        generation: the generation of the catalog that was checked.
        ended: when the check ended, in UTC, as `TIME_FORMAT`.
        holder: the pod, or `process 7 on HOST`.
        seconds: duration of the check.
        files, bytes: number and size of the intact files.
        bad_files: number of bad files.
        findings: the bad files; at most `MAX_LISTED` of each model.
        mended_files: number of bad files that were fetched again afterwards.
        mended: these files, as they were before.
    """

    generation: str
    ended: str
    holder: str
    seconds: float
    files: int
    bytes: int
    bad_files: int = 0
    findings: tuple[Finding, ...] = ()
    mended_files: int = 0
    mended: tuple[Finding, ...] = ()


class DeepCheck(NamedTuple):
    """A record, and which of its findings still hold.

    Attributes:
        record: the result of the check.
        bad_files: number of bad files that were not replaced since.
        findings: those of them that are listed.
    """

    record: DeepCheckRecord
    bad_files: int
    findings: tuple[Finding, ...]

    @property
    def reason(self) -> Reason:
        """The most severe reason of the findings that still hold; `OK` without one."""
        return worst_reason(finding.reason for finding in self.findings)

    @property
    def corrupt_models(self) -> frozenset[str]:
        """Keys of the models with corrupt files."""
        return frozenset(one.model for one in self.findings if one.reason is Reason.CACHE_CORRUPT)

    @property
    def mended_models(self) -> frozenset[str]:
        """Keys of the models whose corrupt files were fetched again."""
        return frozenset(one.model for one in self.record.mended if one.reason is Reason.CACHE_CORRUPT)

    @property
    def ended_seconds(self) -> float:
        """When the check ended, in seconds since 1970."""
        from datetime import datetime  # here: `cache-check` does not need it

        return datetime.fromisoformat(self.record.ended).timestamp()


def findings_of(report: CheckReport) -> tuple[Finding, ...]:
    """Return the findings of a deep check, at most `MAX_LISTED` of each model."""
    groups = [("", report.problems), *((model.key, model.problems) for model in report.models)]
    return tuple(_finding(key, one, report.places) for key, each in groups for one in each[:MAX_LISTED])


def dump_deep_check(record: DeepCheckRecord) -> bytes:
    """Return the record as JSON in UTF-8, with a line break at the end."""
    return to_json_text(record).encode() + b"\n"


def read_deep_check(places: Places, generation: str) -> DeepCheck | None:
    """Return the last deep check of a generation; None if there is none that can be read. Never raises."""
    try:
        record = _parse(read_small_file(deep_check_path(places, generation), MAX_RECORD_BYTES))
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None
    if record.generation != generation:
        return None
    current = tuple(finding for finding in record.findings if _holds(finding, places))
    unlisted = max(0, record.bad_files - len(record.findings)) if current else 0
    return DeepCheck(record, len(current) + unlisted, current)


def describe_deep_check(deep_check: DeepCheck, places: Places) -> str:
    """Return a sentence about a deep check, without a remedy."""
    record = deep_check.record
    beginning = f"the last deep check, {record.ended} by {record.holder},"
    if deep_check.findings:
        first = deep_check.findings[0]
        path = places.of(first.place).path / first.path
        more = f" (and {deep_check.bad_files - 1} more)" if deep_check.bad_files > 1 else ""
        return printable(
            f"{beginning} found {count_of(deep_check.bad_files, 'file')} bad: {path}: {first.detail}{more}"
        )
    if record.mended_files:
        return (
            f"{beginning} found {count_of(record.mended_files, 'file')} bad; all of them were fetched again"
        )
    if record.bad_files:
        return f"{beginning} found {count_of(record.bad_files, 'file')} bad; all of them were replaced since"
    return f"{beginning} found every file intact ({count_of(record.files, 'file')})"


def _finding(model: str, problem: Problem, places: Places) -> Finding:
    path = Path(problem.file)
    inside = [place for place in places.all() if path.is_relative_to(place.path)]
    place = max(inside, key=lambda each: len(each.path.parts)) if inside else places.own
    relative = path.relative_to(place.path).as_posix() if inside else path.name
    return Finding(model, place.name, relative, problem.reason, problem.detail, _modified(path))


def _modified(path: Path) -> int | None:
    try:
        return os.stat(path).st_mtime_ns // 1_000_000
    except (OSError, ValueError):
        return None


def _holds(finding: Finding, places: Places) -> bool:
    return _modified(places.of(finding.place).path / finding.path) == finding.modified


def _parse(content: bytes) -> DeepCheckRecord:
    """Raise ValueError, TypeError, KeyError or OverflowError for what is no record."""
    document = parse_json_object(content)
    ended = str(document["ended"])
    if not _TIME.fullmatch(ended):
        raise ValueError("a time that is none")
    return DeepCheckRecord(
        generation=str(document["generation"]),
        ended=ended,
        holder=_text(document["holder"]),
        seconds=min(max(0.0, float(document["seconds"])), float(_MAX_COUNT)),
        **{
            name: min(max(0, int(document[name])), _MAX_COUNT)
            for name in ("files", "bytes", "bad_files", "mended_files")
        },
        findings=_findings(document["findings"]),
        mended=_findings(document["mended"]),
    )


def _findings(values: Sequence[dict[str, Any]]) -> tuple[Finding, ...]:
    return tuple(_parse_findings(values))


def _parse_findings(values: Sequence[dict[str, Any]]) -> Iterable[Finding]:
    for value in values:
        path, modified = value["path"], value["modified"]
        if not isinstance(path, str) or unsafe_reason(path):
            raise ValueError("a path that is none in the cache")
        yield Finding(
            _text(value["model"]),
            PlaceName(value["place"]),
            path,
            Reason(value["reason"]),
            _text(value["detail"]),
            None if modified is None else int(modified),
        )


def _text(value: object) -> str:
    return printable(str(value)[:_MAX_TEXT_CHARACTERS])
