"""The limited affix searches give spaCy's tokens, and words of punctuation are fast."""

from typing import Any, Final

import pytest
import spacy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qda_worker.models.spacy_tokenizer import limit_affix_searches, make_doc

SIGNS: Final = "()[]{}.,;:!?…-–'\"„“”»«€%°/&+*_#😀👩‍👩‍👧"
PIECES: Final = st.sampled_from(
    [*SIGNS, "z.B.", "5km", "3.", "Köln", "u\u0308", "http://a.b/", "@", " ", "\n", "x"]
)
REPEATED: Final = st.tuples(PIECES, st.sampled_from([1, 2, 90])).map(lambda pair: pair[0] * pair[1])
TEXTS: Final = st.lists(REPEATED, max_size=8).map("".join)
PLAIN: Final[Any] = spacy.blank("de")
BOUND: Final[Any] = spacy.blank("de")
limit_affix_searches(BOUND.tokenizer)


def words(pipeline: Any, text: str) -> list[tuple[str, int]]:
    return [(token.text, token.idx) for token in pipeline.make_doc(text)]


@given(TEXTS)
@settings(max_examples=60)
@example("." * 200)
@example("x" * 100 + "." * 100)
@example("5" * 100 + "km/h" + ")" * 70)
def test_tokens_are_those_of_plain_spacy(text: str) -> None:
    assert words(BOUND, text) == words(PLAIN, text)


@pytest.mark.parametrize("sign", ["(", ")", "😀", ","])
def test_each_sign_of_a_long_row_is_a_token(sign: str) -> None:
    """Plain spaCy takes a minute for each of these."""
    assert len(BOUND.make_doc(sign * 10_000)) == 10_000


@pytest.mark.parametrize("piece", ['"', "„x“(y)", "http://a(", "€'", "😀", "ab.", "Haus-Boot/"])
def test_words_of_any_length_are_read_in_bounded_pieces(piece: str) -> None:
    """The pipeline's tokenizer never sees a longer word than 5,000 code points; text and offsets are kept."""
    seen: list[str] = []

    class Watched:
        """A pipeline that notes what it tokenizes."""

        def make_doc(self, text: str) -> Any:
            """Tokenize a text."""
            seen.append(text)
            return BOUND.make_doc(text)

    text = f"Vorher kam {piece * (23_000 // len(piece))} nachher.  Ende\n"
    doc = make_doc(Watched(), text)
    assert doc.text == text
    assert "".join(seen) == text
    assert max(len(word) for part in seen for word in part.split()) <= 5_000
    assert all(text.startswith(token.text, token.idx) for token in doc)
    assert [token.text for token in doc][-4:] == [".", " ", "Ende", "\n"]


@given(TEXTS)
@settings(max_examples=60)
def test_texts_without_longer_words_have_the_pipelines_own_tokens(text: str) -> None:
    prose = ("Das war z.B. am 3. Mai (glaube ich). " * 200) + text + " Ende"
    assert [(token.text, token.idx) for token in make_doc(BOUND, prose)] == words(PLAIN, prose)


def test_searches_of_another_kind_are_unchanged() -> None:
    own: Any = spacy.blank("de").tokenizer
    own.prefix_search, own.suffix_search = (lambda _: None), (lambda _: None)
    before = own.prefix_search, own.suffix_search
    limit_affix_searches(own)
    assert (own.prefix_search, own.suffix_search) == before
