"""Sentences end where a reader of German would end them; no text is lost or repeated."""

from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.sentences.german_sentences import sentence_spans

# "|" marks the end of a sentence.
PROSE: Final = (
    "Das ist gut.| Das ist schlecht.",
    "Was?!| Wirklich?| Ja!!!",
    "ohne Punkt",
    "Wir kamen z. B. am 3. Oktober nach Köln.| Dort war es kalt.",
    "Dr. Müller und Prof. Dr. Schmidt kamen.| Sie gingen.",
    "Dipl.-Ing. Maier (Fa. Huber GmbH & Co. KG) kam.| Er blieb.",
    "Das kostet ca. 3.500,50 Euro, d. h. zu viel.| Schade!",
    "Das ist i.d.R. bzw. i. d. R. so, vgl. Meier et al. 2010, S. 12 ff. und Abs. 3 Nr. 4.| Das gilt.",
    "Äpfel, Birnen usw.| Dann kam er.",
    "Das dauert 5 Min. Fahrt und kostet 3 Mio. Euro.| Gut.",
    "Das dauert 5 Min.| Dann Schluss.",
    "Im 19. Jahrhundert war das so.| Im 2. Weltkrieg nicht.",
    "Am 3. Tag, in der 5. Klasse, der 1. FC Köln.| Ende.",
    "Am 5. 10. 2020 und am 1.1.2021 um 8.30 Uhr begann es.| Gut.",
    "Das war 1990.| Danach kam 1991.",
    "Ich bin 20.| Mein Bruder ist 30.",
    "Er wohnt in der Goethestr. 5.| Sie auch.",
    "Karl V. war Kaiser.| Ludwig XIV. auch.",
    "A. Merkel sprach mit B. Obama.| Er hörte zu.",
    "Frau K.| Sie kam.",
    "1. Erstens.| 2. Zweitens.",
    "Und dann… na ja.| Ich weiß nicht...| Vielleicht doch.",
    "ich hab das gesagt.| dann ging ich.| fertig.",
    "www.beispiel.de ist gut.| Mail an a.b@c.de.| Ok?",
    "Version 2.0.| Und 3.1.4 auch.",
    "Satz eins.|Satz zwei!|Und drei.",
    "Nein.|\u00a0Doch.|\tWirklich.",
)
QUOTATIONS: Final = (
    "„Ich gehe.“| Er ging.",
    "„Kommst du?“ fragte sie.| »Kommst du?«, fragte er.| »Nein.«",
    "Er sagte: „Das geht nicht.| Wir bleiben.“| Dann schwieg er.",
    "(Er lachte.)| Sie weinte (s. S. 5).| Gut.",
    "Er sagte 'Ja.'| Sie sagte \"Nein!\"| Schluss.",
)
LINES: Final = (
    "Gut|\nSchlecht|\r\nNeutral",
    "I: Wie war das?|\nB: Gut war es|\nI: Ja?",
    "- Punkt eins|\n- punkt zwei",
    "Überschrift|\n\nund so weiter",
    "Das ist eine Zeile,\nSätze gehen weiter.",
    "Das ist die\nStadt Köln und\nMehr davon.",
    "Erste Zeile\nzweite Zeile",
    "Eine Donau-\nDampfschifffahrt.",
    "A.|\u2028B.|\u2029C.|\x85D.",
)
SIGNS: Final = (
    "Gut! 😀|\n👩‍👩‍👧 Toll.",
    "Schön :-) |\n Na ja ...",
    "gru\u0308n.| Ja.",
    "!!!??? ...",
    "שלום עולם.| مرحبا!| Ende.",
)


@pytest.mark.parametrize("marked", [*PROSE, *QUOTATIONS, *LINES, *SIGNS])
def test_sentences_end_where_a_reader_would_end_them(marked: str) -> None:
    text = marked.replace("|", "")
    found = [text[span.start : span.end] for span in sentence_spans(text)]
    assert found == [part.strip() for part in marked.split("|")]


@pytest.mark.parametrize("text", ["", " ", "\n" * 1000, " \t\u00a0\r\n"])
def test_blanks_alone_have_no_sentences(text: str) -> None:
    assert sentence_spans(text) == []


ENDS: Final = [". ", "… ", "?! ", '."', ".) ", "\n", "\r\n", " \u2029"]
WORDS: Final = ["Dr. ", "z. B. ", "3. ", "Köln", "er ", "Er ", "😀 ", "u\u0308"]
PARTS: Final = st.sampled_from([*ENDS, *WORDS])
TEXTS: Final = st.lists(PARTS | st.text(max_size=4), max_size=30).map("".join)


@given(TEXTS)
def test_sentences_cover_everything_except_blanks(text: str) -> None:
    spans = sentence_spans(text)
    assert all(before.end <= after.start for before, after in pairwise(spans))
    for span in spans:
        assert span.length > 0
        assert text[span.start : span.end].strip() == text[span.start : span.end]
    edges = [0, *(edge for span in spans for edge in (span.start, span.end)), len(text)]
    between = [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    assert not "".join(between).strip()


@pytest.mark.parametrize("piece", ["„", "» a. ", "' ", ".", "\n", "x", "Dr. ", "1. ", '."', "(", " ", "a.B"])
def test_no_repeated_piece_is_slow(piece: str) -> None:
    """At 100,000 code points, quadratic time would exceed the time limit of the test."""
    assert len(sentence_spans(piece * (100_000 // len(piece)))) <= 1
