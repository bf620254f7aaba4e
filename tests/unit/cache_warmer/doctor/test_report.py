"""The diagnosis as text and as JSON."""

from pathlib import Path
from typing import Final

from cache_warmer.doctor.diagnosis import Finding, Severity
from cache_warmer.doctor.report import MAX_PATHS, Diagnosis, PlaceState, summary_line, to_json, to_text
from model_cache.explanations import hint_line
from model_cache.reasons import Reason

ERROR: Final = Finding(Severity.ERROR, "place", Reason.NO_SPACE, "full", "make space", tuple("abcdefg"))
NOTE: Final = Finding(Severity.NOTE, "token", Reason.OK, "a file\x1b[2J")
PLACE: Final = PlaceState("huggingface", Path("/hub"), "HF_HUB_CACHE", "/, ext4", 5000, None)


def diagnosis(*findings: Finding) -> Diagnosis:
    libraries = {"spacy": "3.8.18", "torch": None}
    return Diagnosis(findings, {"home": "/home/me"}, libraries, {"HF_HOME": "/hf"}, (PLACE,), online=False)


def test_the_text_begins_with_the_worst_finding_and_its_remedy_and_ends_with_the_summary() -> None:
    lines = to_text(diagnosis(ERROR, NOTE)).splitlines()
    assert lines[0] == "error: place: full. Remedy: make space"
    assert lines[1 : 2 + MAX_PATHS] == [
        *(f"  {name}" for name in "abcde"),
        "  2 more (all with --format json)",
    ]
    assert lines[-2] == "NO_SPACE: 1 error, no warnings, 1 note; the hub was not asked (--online does)"
    assert lines[-1] == hint_line("NO_SPACE").rstrip()
    assert "not installed  torch" in lines


def test_control_characters_of_a_file_name_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in to_text(diagnosis(NOTE))


def test_the_document_has_all_paths_and_the_reason_of_the_exit_code() -> None:
    document = to_json(diagnosis(ERROR, NOTE))
    assert (document["reason"], document["errors"], document["warnings"], document["notes"]) == (
        "NO_SPACE",
        1,
        0,
        1,
    )
    findings = document["findings"]
    assert isinstance(findings, list)
    assert isinstance(findings[0], dict)
    assert findings[0]["paths"] == list("abcdefg")
    assert document["places"] == [
        {
            "name": "huggingface",
            "path": "/hub",
            "chosen_by": "HF_HUB_CACHE",
            "volume": "/, ext4",
            "free_bytes": 5000,
            "free_inodes": None,
        }
    ]


def test_nothing_wrong_is_ok() -> None:
    assert summary_line(diagnosis()).startswith("OK: no errors, no warnings, no notes")
