"""A text that is cleaned and tokenized in pieces has the tokens that the library gives the whole text."""

from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from qda_worker.models.base import LongText
from qda_worker.models.sentiment import clean_german_pieces, clean_german_sentiment
from qda_worker.models.text_pieces import MAX_PIECE_LENGTH, PIECE_LENGTH, split_pieces
from qda_worker.models.tokenization import TextTokenizer
from tests.support.small_models import small_models
from tests.support.tiny_models import bert_tokenizer, xlmr_tokenizer

WORDS: Final = (
    "Das", "Gespräch", "mit", "Frau", "Müller", "war", "sehr", "angenehm.", "Nein,", "»gut«", "3,5", "1984", "z.", "B.",
    "Straße", "ÄÖÜ", "e-mail@example.org", "https://example.org/a?b", "@otto", "#so", "😀", "👍🏽", "👩\u200d👧",
    "gru\u0308n", "\u0308u", "中文", "한국어", "العربية", "\u0600", "ﬁnal", "<mask>", "[SEP]", "</s>", "(ja)", "…", "-",
    "x" * 120, "\x00", "\u200b",
)  # fmt: skip
SPACES: Final = (
    " ", " ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\r", "\x0b", "\x1c", "\u00a0", "\u3000", "\u2028", "",
)  # fmt: skip

texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SPACES)), max_size=40).map(
    lambda pairs: "".join(word + space for word, space in pairs)
)
any_texts = st.one_of(texts, st.text(max_size=80))


def library_tokenizers(folder: Path) -> dict[str, Any]:
    """Return the tokenizers of the small and the tiny models, by name."""
    bert_tokenizer(folder / "bert", 24)
    xlmr_tokenizer(folder / "xlmr", 24)
    small = [file.parent for file in sorted(small_models().hub.rglob("tokenizer_config.json"))]
    folders = [*small, folder / "bert", folder / "xlmr"]
    return {
        f"{number}-{path.name}": AutoTokenizer.from_pretrained(path) for number, path in enumerate(folders)
    }


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tokenizers")
    for name in ("bert", "xlmr"):
        (folder / name).mkdir()
    return library_tokenizers(folder)


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])


def test_every_tokenizer_allows_to_cut_at_spaces(tokenizers: dict[str, Any]) -> None:
    assert len(tokenizers) >= 4
    for tokenizer in tokenizers.values():
        assert " " in TextTokenizer(tokenizer, 24).blanks


@settings(max_examples=300, deadline=None)
@given(text=any_texts, length=st.integers(1, 30))
def test_the_pieces_have_the_tokens_of_the_whole(tokenizers: dict[str, Any], text: str, length: int) -> None:
    for tokenizer in tokenizers.values():
        blanks = TextTokenizer(tokenizer, 24).blanks
        pieces = list(split_pieces(text, blanks, length))
        assert "".join(pieces) == text
        assert [token for piece in pieces for token in plain_ids(tokenizer, piece)] == plain_ids(
            tokenizer, text
        )


@settings(max_examples=300, deadline=None)
@given(text=any_texts, length=st.integers(1, 30), joined=st.booleans())
def test_the_cleaned_pieces_are_the_cleaned_whole(text: str, length: int, joined: bool) -> None:
    pieces = list(clean_german_pieces(text, () if joined else (" ",), length))
    assert "".join(pieces) == clean_german_sentiment(text)


LONG_TEXTS: Final = {
    "prose": "Das Gespräch mit Frau Müller in Köln war sehr angenehm, und die Stadt ist schön! 😀 " * 600,
    "lines": "ja\nnein\nvielleicht\n" * 3000,
    "double blanks": "ja  nein  " * 5000,
    "one word": "Donaudampfschifffahrt" * 2000,
    "emoji": "😀👍🏽" * 12_000,
    "a word in prose": "gut " * 9000 + "x" * 40_000 + " schlecht" * 9000,
    "blanks only": " " * 50_000,
    "digits": "0123456789 " * 4000,
}


@pytest.mark.parametrize("kind", LONG_TEXTS)
@pytest.mark.parametrize("policy", [LongText.CUT, LongText.WINDOW])
def test_long_texts_are_counted_and_cut_as_by_the_library(
    tokenizers: dict[str, Any], kind: str, policy: LongText
) -> None:
    text = LONG_TEXTS[kind]
    assert len(text) > 2 * PIECE_LENGTH
    for tokenizer in tokenizers.values():
        expected = plain_ids(tokenizer, text)
        own = TextTokenizer(tokenizer, 512)
        steps = list(own.prepare_steps(split_pieces(text, own.blanks), policy))
        prepared = steps[-1]
        assert prepared is not None
        assert prepared.counted
        assert prepared.length == len(expected) + 2
        truncated = tokenizer(text, truncation=True, max_length=512, verbose=False)["input_ids"]
        assert prepared.units[0].payload.tolist() == truncated
        early = [step for step in steps[:-1] if step is not None]
        for step in early:
            assert not step.counted
            assert [unit.payload.tolist() for unit in step.units] == [truncated]
        if policy is LongText.CUT and kind in ("prose", "lines", "double blanks", "digits"):
            assert early, "the part that is read is known before the rest is counted"
            assert steps.index(early[0]) == 0


ENDLESS_WORDS: Final = {
    "letters": "x" * 300_000,
    "figures": "12.345," * 60_000,
    "marks": "u\u0308" * 200_000,
    "emoji": "😀" * 300_000,
    "line breaks": "\n" * 300_000,
    "brackets": "[ja] " * 80_000,
    "prose around": "gut " * 50_000 + "x" * 300_000 + " schlecht" * 30_000,
}


@pytest.mark.parametrize("kind", ENDLESS_WORDS)
def test_no_text_is_prepared_in_steps_without_bound(kind: str) -> None:
    text = ENDLESS_WORDS[kind]
    for blanks in ((), (" ", "\n")):
        pieces = list(split_pieces(text, blanks))
        assert "".join(pieces) == text
        assert max(map(len, pieces)) <= MAX_PIECE_LENGTH
        assert all(piece[:1] != "\u0308" for piece in pieces)
    assert "".join(clean_german_pieces(text, (" ",))) == clean_german_sentiment(text)
    assert "".join(clean_german_pieces(text, ())) == clean_german_sentiment(text)


def test_a_word_of_100_000_characters_is_not_cut() -> None:
    word = "x" * 100_000
    assert [piece for piece in split_pieces(f"ein {word} hier", (" ",)) if "x" in piece] == [f" {word}"]
