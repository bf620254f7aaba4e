"""The texts of calibration and gate: shipped ones, and a file of the user."""

from pathlib import Path

import pytest

from model_cache.errors import UsageError
from qda_worker.prepare.texts import MAX_TEXTS, calibration_texts, gate_texts, passages


def test_calibration_and_gate_share_no_line() -> None:
    calibration, gate = calibration_texts(), gate_texts()
    assert not set(calibration.texts) & set(gate.texts)
    assert calibration.lines > 200
    assert gate.lines > 300


def test_the_gate_has_short_answers_and_paragraphs() -> None:
    words = sorted(len(text.split()) for text in gate_texts().texts)
    assert words[0] <= 4
    assert words[-1] >= 90


def test_passages_hold_every_line_once_in_order() -> None:
    lines = [f"Satz {number}." for number in range(50)]
    assert " ".join(passages(lines)) == " ".join(lines)
    assert passages([]) == []


def test_a_file_of_the_user_takes_the_place_of_the_shipped_texts(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("\ufeff" + "\n".join(f"Text {number}" for number in range(120)) + "\n\nText 1\n", "utf-8")
    texts = gate_texts(file)
    assert texts.lines == 120
    assert texts.texts[:2] == ("Text 0", "Text 1")
    assert texts.sha256 != gate_texts().sha256


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"one\ntwo\n", "2 different texts"),
        (b"same\n" * 500, "1 different texts"),
        ("\n".join(map(str, range(MAX_TEXTS + 1))).encode(), f"{MAX_TEXTS + 1} different texts"),
        ("größer\n".encode("latin-1") * 200, "not UTF-8"),
        (b"", "0 different texts"),
    ],
)
def test_a_file_that_judges_nothing_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=what):
        gate_texts(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(UsageError, match="--texts"):
            gate_texts(path)
