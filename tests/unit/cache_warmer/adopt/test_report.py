"""The report of an adoption: totals, exit code, text."""

from pathlib import Path
from typing import Final

import pytest

from cache_warmer.adopt.layouts import FoundModel, Layout
from cache_warmer.adopt.placement import Method
from cache_warmer.adopt.report import (
    AdoptedFile,
    AdoptReport,
    FoundPlace,
    MissingFile,
    ModelAdoption,
    bytes_by_method,
    to_lines,
    verdict,
)
from cache_warmer.adopt.scan import Findings
from model_cache.reasons import Reason

FILE: Final = AdoptedFile("config.json", 1500, "a" * 64, "/theirs/config.json", "sha256", Method.LINK)
RECOGNIZED: Final = Findings(models=[FoundModel(Layout.MODEL_FOLDER, Path("/theirs"), "x")])


def model(
    reason: Reason = Reason.OK, *adopted: AdoptedFile, detail: str = "", why: str = ""
) -> ModelAdoption:
    missing = () if reason is Reason.OK or why else (MissingFile("big.bin", 10, detail),)
    return ModelAdoption("mood", "org/x", "c" * 40, "lock", False, adopted, missing, reason, why)


def test_a_content_with_two_names_counts_once() -> None:
    other = AdoptedFile("copy.json", 1500, "a" * 64, "/theirs/copy.json", "sha256", Method.LINK)
    wheel = AdoptedFile("x.whl", 7, "b" * 64, "/x.whl", "sha256", Method.UNPACK)
    assert bytes_by_method([model(Reason.OK, FILE, other), model(Reason.OK, wheel)]) == {
        "link": 1500,
        "unpack": 7,
    }


@pytest.mark.parametrize(
    ("models", "findings", "reason", "message"),
    [
        ([model(Reason.OK, FILE)], Findings(unreadable={Path("/x"): "denied"}), "OK", ""),
        ([model(Reason.CACHE_INCOMPLETE, FILE)], RECOGNIZED, "OK", ""),
        ([model(Reason.CACHE_INCOMPLETE)], RECOGNIZED, "CACHE_INCOMPLETE", "no file that the models lack"),
        ([model(Reason.CACHE_INCOMPLETE)], Findings(), "CACHE_INCOMPLETE", "no model in a layout"),
        (
            [model(Reason.CACHE_INCOMPLETE)],
            Findings(unreadable={Path("/x"): "denied"}),
            "NO_PERMISSION",
            "/x cannot be read: denied",
        ),
        (
            [model(Reason.CACHE_INCOMPLETE)],
            Findings(damaged={Path("/x.tar"): "cut short"}),
            "CONTENT_MISMATCH",
            "/x.tar: cut short",
        ),
        (
            [model(Reason.HUB_UNREACHABLE, why="no hub"), model(Reason.CONTENT_MISMATCH, detail="half")],
            RECOGNIZED,
            "CONTENT_MISMATCH",
            "mood: half",
        ),
        ([model(Reason.HUB_UNREACHABLE, why="no hub")], RECOGNIZED, "HUB_UNREACHABLE", "mood: no hub"),
        ([model(Reason.NO_PERMISSION, detail="unreadable")], RECOGNIZED, "NO_PERMISSION", "mood: unreadable"),
    ],
)
def test_the_worst_problem_decides(
    models: list[ModelAdoption], findings: Findings, reason: str, message: str
) -> None:
    found, text, remedy = verdict(models, "/theirs", findings)
    assert found == reason
    assert message in text
    assert bool(remedy) == (reason != "OK")


def test_the_text_names_what_was_found_compared_and_done() -> None:
    models = (model(Reason.CONTENT_MISMATCH, FILE, detail="half a download\x1b"),)
    report = AdoptReport(
        Reason.CONTENT_MISMATCH,
        "d" * 64,
        "/theirs",
        applied=True,
        published=False,
        found=(FoundPlace(Layout.TRANSFORMERS, "/theirs", ""),),
        unreadable={"/theirs/secret": "Permission denied"},
        damaged={},
        models=models,
        bytes=bytes_by_method(models),
        bytes_missing=10,
    )
    assert to_lines(report, "cache-warmer warm") == [
        "/theirs: 1 model or archive found",
        "  cache of transformers before 4.22: several models (/theirs)",
        "  not read: /theirs/secret: Permission denied",
        "mood (org/x cccccccccccc): 1 file adopted, 1.5 kB, compared with the lock; 1 missing",
        "  link: config.json, 1.5 kB, sha256, from /theirs/config.json",
        r"  missing: big.bin, 10 B: half a download\x1b",
        "CONTENT_MISMATCH: generation dddddddddddd: 1.5 kB linked, 10 B to fetch",
        "next: cache-warmer warm",
    ]
