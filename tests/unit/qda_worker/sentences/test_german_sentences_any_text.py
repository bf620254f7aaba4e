"""No text, whatever its characters, makes the rules fail, lose or repeat anything."""

from itertools import pairwise
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qda_worker.sentences.german_sentences import max_sentence_count, sentence_spans

MARKS: Final = (
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<",
        ">",
        "((",
        "))",
        "(.)",
        "(...)",
        "(lacht)",
        "[unv.]",
        "[1]",
        "¹",
        "²)",
        "†",
    ),
    *(
        "#00:01:20-1#",
        "[00:01:20]",
        "(00:01)",
        "00:00:01,000 --> 00:00:02,000",
        "1\n00:01.000 --> 00:02.000\n",
        "-->",
    ),
    *(
        "WEBVTT",
        "NOTE x",
        "I: ",
        "B1:",
        "Frau K.:",
        "**I:**",
        "//",
        "//ja//",
        "*",
        "#tag",
        "<v Ida>",
        "</i>",
        "\\o/",
    ),
)
SIGNS: Final = (
    *".!?…:;,-–—/\\|_@&%§€=+^~*#'\"„“”‚‘’»«›‹•→✓",
    *("...", "!?", ":)", ";-)", ":D", "xD", "<3", "^^", "😀", "👍🏽", "👨‍👩‍👧", "🇩🇪", "🇩", "❤️", "️", "‍", "1️⃣"),
)
BLANKS: Final = (
    *" \t\n\r\v\f\x00\x1c\x1d\x1e\x85\u2028\u2029\u00a0\u00ad\u200b\u200d\u2003\u202f\u2060\ufeff\ud800\U0010ffff",
    *("\r\n", "\n\n", "\n \n", "  "),
)
WORDS: Final = (
    *(
        "ja",
        "Ja",
        "und",
        "Und",
        "dann",
        "Das",
        "das",
        "Dr",
        "z.B.",
        "usw.",
        "Min.",
        "3.",
        "12",
        "1989.",
        "IV.",
        "K.",
    ),
    *(
        "ß",
        "İ",
        "ﬁ",
        "e\u0301",
        "²",
        "½",
        "٣",
        "Ⅳ",
        "漢",
        "a",
        "X",
        "www.a.de",
        "a@b.de",
        "Liebe",
        "Sehr geehrte",
        "o",
    ),
)
PIECES: Final = st.sampled_from([*MARKS, *SIGNS, *BLANKS, *WORDS])
REPEATED: Final = st.tuples(PIECES, st.sampled_from([1, 1, 1, 1, 2, 40])).map(lambda pair: pair[0] * pair[1])
TEXTS: Final = st.lists(REPEATED, max_size=14).map("".join)


def ranges(text: str) -> list[tuple[int, int]]:
    """Return the sentences as plain ranges."""
    return [(span.start, span.end) for span in sentence_spans(text)]


@given(TEXTS)
@settings(max_examples=1500, derandomize=True, deadline=None)
@example("-->")
@example("\ufeffWEBVTT")
@example("()")
@example(". .")
def test_sentences_are_ordered_disjoint_and_not_empty(text: str) -> None:
    found = ranges(text)
    for start, end in found:
        assert 0 <= start < end <= len(text)
        sentence = text[start:end]
        assert sentence == sentence.strip()
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    assert len(found) <= max_sentence_count(text)


# Words of which no mark, label or head of a cue consists.
SPEECH: Final = st.lists(
    st.sampled_from(
        [
            "apfel",
            "Haus",
            "geht",
            "Ich",
            "nicht",
            "usw.",
            "3.",
            "z.B.",
            "und",
            "Ja",
            *SIGNS,
            " ",
            " ",
            " ",
            "\n",
        ]
    ),
    max_size=20,
).map("".join)


@given(SPEECH)
@settings(max_examples=800, derandomize=True, deadline=None)
def test_every_letter_and_digit_of_speech_is_in_a_sentence(text: str) -> None:
    covered = {position for start, end in ranges(text) for position in range(start, end)}
    lost = [
        text[position]
        for position in range(len(text))
        if text[position].isalpha() and position not in covered
    ]
    assert not lost


@given(
    st.lists(
        st.sampled_from(
            [
                "Das ist gut. Das auch (lacht).",
                "„Nein!“, sagte sie. Und ging",
                "Ja 😊 Gerne wieder",
                "I: Wie war das?",
                "- Obst",
                "B1: Na ja ... gut.",
                "Am 3. Mai usw. Danach nicht",
                "(Das war so. Ja.)",
                "[00:01:20] Ja, gern. (.)",
                "a) Ruhe",
                "und so weiter",
                "Haus.¹ Hof",
                "www.a.de ist gut. Schau",
            ]
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_paragraphs_have_the_same_sentences_in_a_bigger_document(paragraphs: list[str]) -> None:
    document, expected = "", []
    for paragraph in paragraphs:
        expected += [(start + len(document), end + len(document)) for start, end in ranges(paragraph)]
        document += paragraph + "\n\n"
    assert ranges(document) == expected


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("(unv.)", []),
        ("#00:01:20-1#", []),
        ("B1: (lacht)", []),
        ("//mhm//", []),
        ("#00:01# (Pause) #00:02#", []),
        ("I: Ja?\nB1: (unv.)\nI: Gut.", ["I: Ja?", "I: Gut."]),
        ("1\n00:00:01,000 --> 00:00:02,000\n\n2\n00:00:02,000 --> 00:00:03,000\nGut.", ["Gut."]),
    ],
)
def test_marks_alone_are_no_sentences(text: str, sentences: list[str]) -> None:
    """What is no sentence gets no sentiment of its own."""
    assert [text[start:end] for start, end in ranges(text)] == sentences
