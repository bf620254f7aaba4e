"""Where forms are in a text."""

import unicodedata

import pytest

from qda_worker.client.pseudonyms.forms import FormMatcher, Markup, clean_form


def found(forms: list[str], text: str, markup: Markup = Markup.NONE) -> list[str]:
    return [text[each.start : each.end] for each in FormMatcher(forms, markup).find(text)]


def test_forms_are_whole_words_and_the_longest_counts() -> None:
    forms = ["Anna", "Anna Müller", "Müller", "Müllers"]
    text = "Anna Müller, Annas Anna-Müllers Hannah Müllerin Müllers"
    assert found(forms, text) == ["Anna Müller", "Anna", "Müllers", "Müllers"]


def test_blanks_match_line_ends_except_in_tables() -> None:
    assert found(["Anna Müller"], "Anna\r\n  Müller") == ["Anna\r\n  Müller"]
    assert found(["Anna Müller"], "Anna\tMüller\nAnna\nMüller\nAnna \u00a0Müller", Markup.TABLE) == [
        "Anna \u00a0Müller"
    ]


def test_characters_may_be_escaped_as_the_format_does() -> None:
    assert found(['Haus "Ruhe" & Co'], 'Haus ""Ruhe"" & Co', Markup.TABLE) == ['Haus ""Ruhe"" & Co']
    assert found(["Müller & Sohn"], "Müller &amp; Sohn", Markup.ENTITIES) == ["Müller &amp; Sohn"]
    assert found(["Müller & Sohn"], "Müller & Sohn", Markup.ENTITIES) == ["Müller & Sohn"]


def test_combining_accents_belong_to_words() -> None:
    decomposed = unicodedata.normalize("NFD", "Müller Mü")
    assert found(["Mu", unicodedata.normalize("NFD", "Mü")], decomposed) == [
        unicodedata.normalize("NFD", "Mü")
    ]


def test_underscores_belong_to_no_word() -> None:
    assert found(["Anna", "Anna Müller"], "__Anna:__ Hallo, _Anna Müller_, anna_Anna_x") == [
        "Anna",
        "Anna Müller",
        "Anna",
    ]


def test_forms_may_begin_and_end_with_other_characters() -> None:
    assert found(["+49 30 1", "a@b.de"], "Tel.:+49 30 1, a@b.de a@b.dev +49 30 12") == ["+49 30 1", "a@b.de"]


def test_a_form_without_letters_is_refused() -> None:
    with pytest.raises(ValueError, match="no letter"):
        FormMatcher(["..."])


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (' "Anna\n Müller", ', "Anna Müller"),
        ("Köln.", "Köln"),
        ("A. B.", "A. B."),
        ("e.V.", "e.V."),
        ("(Max)", "Max"),
    ],
)
def test_what_is_around_a_form_is_left_out(text: str, form: str) -> None:
    assert clean_form(text) == form
