"""Labels of speakers and time marks: the conventions, and what only looks like one."""

import time
from dataclasses import replace
from pathlib import Path
from typing import SupportsIndex

import pytest

from qda_worker.client.readers.document import text_document
from qda_worker.client.readers.speakers import find_utterances, parse_seconds
from tests.support.document_files import read, turns


def said(text: str) -> list[tuple[str | None, str]] | None:
    """Return the label and the speech of each line; None if the text is no transcript."""
    utterances = find_utterances(text_document(text).blocks)
    if utterances is None:
        return None
    return [(each.speaker, each.block.text[each.start : each.end]) for each in utterances]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("I: ", "B1: "), ("I:", "B:"), ("I : ", "B2 : "), ("I:\t", "B1:\t"), ("I\t", "B1\t"), ("I1: ", "I2: "),
        ("Interviewer: ", "Befragte: "), ("Interviewerin: ", "Befragter 2: "), ("Int.: ", "Bef.: "),
        ("Frau Müller: ", "Herr Schmidt: "), ("Anna: ", "Özlem: "), ("ANNA: ", "BEN: "), ("Person A: ", "Person B: "),
        ("Dr. Weber: ", "Anna von der Heide: "), ("[Anna]: ", "[Ben]: "), ("**I:** ", "**B:** "), ("<Anna> ", "<Ben> "),
        ("[id1] ", "[id2] "), ("SPEAKER_00: ", "SPEAKER_01: "), ("S00: ", "S01: "), ("Moderatorin: ", "Teilnehmer 3: "),
        ("A (00:01:02): ", "B (00:01:09): "), ("Anna [00:01:02]: ", "Ben [00:01:09]: "), ("1\tI: ", "2\tB: "),
        ("[00:01:02] I: ", "[00:01:09] B: "), ("#00:01:02-3# I: ", "#00:01:09-1# B: "),
        ("00:01:02 Anna: ", "00:01:09 Ben: "),
        ("1 I: ", "2 B: "), ("00:00:01-5 I: ", "00:00:05-1 B: "),
        ("12.03.21, 10:30 - Anna: ", "12.03.21, 10:31 - Ben: "),
        ("[12.03.21, 10:30:12] Anna: ", "[12.03.21, 10:31:01] Ben: "), ("B1+B2: ", "I: "),
        ("Sprecher 1\n", "Sprecher 2\n"),
        ("00:00:03 Anna Müller\n", "00:00:09 Ben\n"), ("i: ", "b: "), ("Anna-Lena: ", "K.: "), ("I:\u00a0", "B:\u00a0"),
    ],
)  # fmt: skip
def test_labels_in_the_common_conventions(first: str, second: str) -> None:
    found = said(f"{first}Wie war es?\n{second}Gut.\n\n{first}Und dann?\n{second}Schön.\n")
    assert found is not None
    assert [text for _, text in found if text] == ["Wie war es?", "Gut.", "Und dann?", "Schön."]
    labels = [label for label, text in found if not first.endswith("\n") or not text]
    assert None not in labels
    assert labels[:2] == labels[2:]
    assert labels[0] != labels[1]
    assert all(label and ":" not in label and label.strip() == label for label in labels)


@pytest.mark.parametrize(
    "text",
    [
        "Beispiel: so geht es.\nhttps://example.org\nUm 10:30 war es.\n10:30 Beginn",
        "Vorteile: schnell.\nNachteile: teuer.\nVorteile: leicht.\nNachteile: laut.",
        "PS: Danke.\nZB: das.\nPS: Nochmals danke.",
        "Mir ging es gut: Ich war froh.\nDann kam es anders: Ich war traurig.",
        "Kolleg:innen sind nett.\nSchüler:innen auch.\nKolleg:innen helfen.\nSchüler:innen lernen.",
        "[lacht] Ja.\n[Pause] Nein.\n[lacht] Gut.\n[Pause] So.",
        "Ja\tweil es gut war\nNein\tzu teuer\nJa\tsehr\nNein\tnie\nJa\timmer",
        "a: eins\nc: zwei\na: drei\nc: vier",
        "Super.\nGanz gut.\nNicht so.",
        "",
    ],
)
def test_what_only_looks_like_a_label(text: str) -> None:
    assert said(text) is None


def test_a_word_before_a_colon_within_a_turn_stays_in_it() -> None:
    found = said(
        "I: Wie?\nB: Vieles.\nBeispiel: die Schule.\nUnd: https://x.de\nI: Aha.\nBeispiel: noch eins."
    )
    assert found is not None
    assert [label for label, _ in found] == ["I", "B", None, None, "I", None]


def test_the_head_of_a_transcript_has_no_speakers(tmp_path: Path) -> None:
    text = "Interview 3\nDatum: 12.03.2021\nInterviewerin: Dr. Weber\n\nI: Wie?\nB: Gut.\nI: So.\nB: Ja.\n"
    assert turns(read(text, "a.txt", tmp_path)) == [
        (None, "Interview 3"), (None, "Datum: 12.03.2021"), (None, "Interviewerin: Dr. Weber"),
        ("I", "Wie?"), ("B", "Gut."),
        ("I", "So."), ("B", "Ja."),
    ]  # fmt: skip


def test_a_label_on_a_line_of_its_own_with_a_time_as_programs_for_meetings_write(tmp_path: Path) -> None:
    text = (
        "Anna Müller   0:05\nWie war es?\n\nBen   1:10\nGut.\nSehr.\n\n"
        "Anna Müller   1:20\nSo.\n\nBen   01:02:03\nJa.\n"
    )
    found = read(text, "a.txt", tmp_path)
    assert turns(found) == [
        ("Anna Müller", "Wie war es?"), ("Ben", "Gut.\nSehr."), ("Anna Müller", "So."), ("Ben", "Ja."),
    ]  # fmt: skip
    assert [(each.start, each.end) for each in found] == [(5, 70), (70, 80), (80, 3723), (3723, None)]


@pytest.mark.parametrize(
    ("mark", "seconds"),
    [
        ("#00:01:23-4#", (83.4, None)), ("#01:23#", (83, None)), ("[00:01:23]", (83, None)),
        ("(1:02:03)", (3723, None)),
        ("[00:01:23.450]", (83.45, None)), ("{00:01:23,5}", (83.5, None)), ("<01:23>", (83, None)),
        ("[00:01:20 - 00:02:00]", (80, 120)), ("[00:01:20-00:02:00]", (80, 120)), ("(01:20–02:00)", (80, 120)),
        ("(lacht)", (None, None)),
    ],
)  # fmt: skip
def test_time_marks_are_seconds(mark: str, seconds: tuple[float | None, float | None]) -> None:
    assert parse_seconds(mark) == seconds


def test_marks_before_and_behind_turns_give_their_start_and_end(tmp_path: Path) -> None:
    behind = read("I: Wie? #00:01:02-3#\nB: Gut. #00:01:20-1#\nI: So. #00:01:22-0#\n", "a.txt", tmp_path)
    assert [(each.start, each.end) for each in behind] == [(None, 62.3), (62.3, 80.1), (80.1, 82)]
    before = read("[00:01:02] I: Wie?\n[00:01:20] B: Gut.\nI: [00:01:22] So.\n", "a.txt", tmp_path)
    assert [(each.start, each.end) for each in before] == [(62, 80), (80, 82), (82, None)]
    alone = read("I: Wie?\n#00:01:02-3#\nB: Gut.\n#00:01:20-1#\nI: So.\n", "a.txt", tmp_path)
    assert turns(alone) == [("I", "Wie?"), ("B", "Gut."), ("I", "So.")]
    assert [each.end for each in alone] == [62.3, 80.1, None]


def test_short_answers_behind_times_are_no_labels(tmp_path: Path) -> None:
    text = "".join(
        f"[00:00:0{at}] {said}\n" for at, said in enumerate(["Ja", "Genau", "Ja", "Genau", "Ja"], start=1)
    )
    assert [each.text for each in read(text, "a.txt", tmp_path)] == ["Ja", "Genau", "Ja", "Genau", "Ja"]


def test_times_without_labels_begin_segments(tmp_path: Path) -> None:
    found = read("[00:00:01] Eins.\nWeiter.\n[00:00:05] Zwei.\n[00:00:09] Drei.\n", "a.txt", tmp_path)
    assert turns(found) == [(None, "Eins.\nWeiter."), (None, "Zwei."), (None, "Drei.")]
    assert [(each.start, each.end) for each in found] == [(1, 5), (5, 9), (9, None)]


class CountedText(str):
    """A text that adds up the characters that are copied from it."""

    __slots__ = ("copied",)

    def __init__(self, _: str) -> None:
        self.copied = 0

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = super().__getitem__(key)
        self.copied += len(part)
        return part


@pytest.mark.parametrize("blank", ["", " ", "\u00a0\t", "  \n\u2003"])
def test_many_marks_behind_a_turn_are_each_read_once(blank: str) -> None:
    text = CountedText("Ja. (lacht)" + f"{blank}#00:01:02-3#{blank}(00:01:03)" * 1_000)
    first = replace(text_document("B: x").blocks[0], text=text)
    utterances = find_utterances([first] * 3)
    assert utterances is not None
    assert [str(text)[each.start : each.end] for each in utterances] == ["Ja. (lacht)"] * 3
    assert [each.ends for each in utterances] == [63] * 3
    assert text.copied < 3 * 20 * len(text)  # with quadratic time 3 * 1,000 times the length


def test_long_and_hostile_lines_take_linear_time() -> None:
    started = time.process_time()
    for piece in ("A ", "A:", "[", "(00:01:02) ", "I\t", "Anna von der ", "#00:00:0", "**"):
        said(f"I: {piece * 10_000}\nB: {piece * 10_000}\nI: ja")
    assert time.process_time() - started < 20  # about 1; quadratic time would be minutes
