"""Hard-wrapped texts have the same sentences as without the wraps; lists and answers have one per line."""

import random
import textwrap
from typing import Final

import pytest

from qda_worker.sentences.german_sentences import sentence_spans

SENTENCES: Final = (
    "Die Pflegekräfte der Station berichten, dass für Gespräche mit Angehörigen kaum Zeit bleibt.",
    "Dr. Weber sagte am 3. Oktober 2021, das Haus brauche z. B. mehr Personal im Nachtdienst.",
    "Ist das gerecht?",
    "„Wir haben alles versucht“, erklärte der Leiter, „aber die Stadt hat den Antrag abgelehnt.“",
    "Im 19. Jahrhundert war die Versorgung der Armen Aufgabe der Gemeinden, Kirchen und Betriebe.",
)


def parts(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentence_spans(text)]


def wrapped(text: str, width: int) -> str:
    """Wrap a text as editors and mail programs do: line breaks replace blanks, so that all offsets stay."""
    return textwrap.fill(text, width, break_on_hyphens=False, break_long_words=False)


@pytest.mark.parametrize("width", [60, 66, 72, 78, 80, 100])
@pytest.mark.parametrize("seed", range(5))
def test_a_wrapped_paragraph_has_the_sentences_of_the_original(width: int, seed: int) -> None:
    chosen = random.Random(seed)
    text = " ".join(chosen.choice(SENTENCES) for _ in range(8))
    assert sentence_spans(wrapped(text, width)) == sentence_spans(text)


def test_wrapped_paragraphs_end_a_sentence() -> None:
    paragraphs = [" ".join(SENTENCES), "Ein Absatz ohne Punkt " * 8 + "am Ende", " ".join(SENTENCES[::-1])]
    text = "\n\n".join(wrapped(paragraph, 72) for paragraph in paragraphs)
    assert len(parts(text)) == 2 * len(SENTENCES) + 1


@pytest.mark.parametrize(
    "lines",
    [
        ["Mehr Personal", "Bessere Bezahlung der Pflegekräfte in den Heimen", "Weniger Formulare", "Geduld"],
        ["Ich finde das Angebot im Großen und Ganzen sehr gut, aber zu teuer", "Mehr Personal wäre gut"],
        ["Der Mond ist aufgegangen", "Die goldnen Sternlein prangen", "Am Himmel hell und klar"],
        ["- Mehr Personal in allen Häusern und auch in der Nacht", "- Bessere Löhne für alle in der Pflege"]
        * 3,
        ["1. Wer entscheidet über die Anträge auf Kurzzeitpflege?", "2. Wann und durch wen wird geprüft"] * 3,
        ["I: Wie haben Sie die ersten Wochen im Heim denn erlebt", "B: Es war nicht leicht für uns alle"] * 3,
    ],
)
def test_lists_verses_and_answers_have_one_sentence_per_line(lines: list[str]) -> None:
    assert parts("\n".join(lines)) == lines


def test_lines_of_any_length_take_bounded_time() -> None:
    text = ("X" * 5_000 + "\n") * 40 + "Y " * 300 + "\n" * 2 + ("Kurz\n" * 500)
    assert len(parts(text)) == 40 + 1 + 500
