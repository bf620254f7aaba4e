"""The result of a diagnosis: as a JSON document for programs, and as text for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.doctor.diagnosis import Finding, Severity, worst_error
from model_cache.errors import with_remedy
from model_cache.explanations import hint_line
from model_cache.formatting import align_columns, human_bytes, printable
from model_cache.json_values import Json, to_json_value
from model_cache.reasons import Reason

# Paths of a finding that the text shows; JSON has all of them.
MAX_PATHS: Final = 5


@dataclass(frozen=True, slots=True)
class PlaceState:
    """A place of the cache. The fields are those of the JSON document.

    Attributes:
        name: which part of the cache.
        path: its folder.
        chosen_by: the variable that chose it, `--cache`, or `default`.
        volume: mount point, kind and source of its file system; empty if not known.
        free_bytes: None if not known.
        free_inodes: None if not known, or not counted.
    """

    name: str
    path: Path
    chosen_by: str
    volume: str
    free_bytes: int | None
    free_inodes: int | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found.

    Attributes:
        findings: worst first.
        machine: facts about the machine and the user, by name.
        libraries: installed versions by name; None: not installed.
        variables: the variables that are set and matter, without secrets.
        places: the places of the cache; none if they could not be found.
        online: whether the hub was asked.
    """

    findings: tuple[Finding, ...]
    machine: Mapping[str, str]
    libraries: Mapping[str, str | None]
    variables: Mapping[str, str]
    places: tuple[PlaceState, ...]
    online: bool

    @property
    def reason(self) -> Reason:
        """The reason of the worst error, which decides the exit code."""
        return worst_error(self.findings)


def to_json(diagnosis: Diagnosis) -> dict[str, Json]:
    """Return the document of `cache-warmer doctor --format json`."""
    counts = Counter(one.severity for one in diagnosis.findings)
    return {
        "reason": diagnosis.reason.value,
        "summary": summary_line(diagnosis),
        **{f"{severity}s": counts[severity] for severity in Severity},
        "findings": to_json_value(diagnosis.findings),
        "machine": to_json_value(diagnosis.machine),
        "libraries": to_json_value(diagnosis.libraries),
        "variables": to_json_value(diagnosis.variables),
        "places": to_json_value(diagnosis.places),
        "online": diagnosis.online,
    }


def to_text(diagnosis: Diagnosis) -> str:
    """Return the findings, worst first, then what was examined, then a summary in one line."""
    blocks = [_finding_lines(finding) for finding in diagnosis.findings]
    installed = ", ".join(f"{name} {version}" for name, version in diagnosis.libraries.items() if version)
    absent = ", ".join(name for name, version in diagnosis.libraries.items() if version is None)
    facts = [*diagnosis.machine.items(), ("installed", installed or "nothing")]
    facts += [("not installed", absent)] if absent else []
    blocks.append(align_columns(facts))
    if diagnosis.variables:
        blocks.append(align_columns([("VARIABLE", "VALUE"), *diagnosis.variables.items()]))
    if diagnosis.places:
        blocks.append(_place_table(diagnosis.places))
    blocks.append(f"{summary_line(diagnosis)}\n{hint_line(diagnosis.reason)}".rstrip())
    return "\n\n".join(blocks)


def summary_line(diagnosis: Diagnosis) -> str:
    """Return the result in one line: the reason, and how many findings there are."""
    counts = Counter(one.severity for one in diagnosis.findings)
    numbers = ", ".join(_count(counts[severity], severity) for severity in Severity)
    hub = "the hub was asked" if diagnosis.online else "the hub was not asked (--online does)"
    return f"{diagnosis.reason}: {numbers}; {hub}"


def _count(number: int, severity: Severity) -> str:
    return f"{number or 'no'} {severity}{'' if number == 1 else 's'}"


def _finding_lines(finding: Finding) -> str:
    text = with_remedy(finding.message, finding.remedy) if finding.remedy else finding.message
    lines = [printable(f"{finding.severity}: {finding.check}: {text}")]
    lines += [f"  {printable(path)}" for path in finding.paths[:MAX_PATHS]]
    more = len(finding.paths) - MAX_PATHS
    return "\n".join([*lines, f"  {more} more (all with --format json)"] if more > 0 else lines)


def _place_table(places: Sequence[PlaceState]) -> str:
    rows = [("PLACE", "PATH", "CHOSEN BY", "FREE", "INODES", "VOLUME")]
    rows += [
        (
            place.name,
            str(place.path),
            place.chosen_by,
            human_bytes(place.free_bytes) if place.free_bytes is not None else "unknown",
            str(place.free_inodes) if place.free_inodes is not None else "",
            place.volume,
        )
        for place in places
    ]
    return align_columns(rows, right={3, 4})
