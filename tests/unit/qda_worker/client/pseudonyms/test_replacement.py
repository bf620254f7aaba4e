"""Replaced texts are restored, whatever they had before."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from qda_worker.client.pseudonyms.replacement import Replacer, restore, restore_placeholders
from qda_worker.client.pseudonyms.text_file import Layout, TextFile

PIECES: Final = st.sampled_from(
    [
        "Anna",
        "Müller",
        " ",
        "\r\n",
        "Müllers",
        "[Person 1]",
        "[",
        "1]",
        "\t",
        '""',
        "&amp;",
        "x",
        ";",
        "Köln",
        "\\n",
    ]
)
REPLACER: Final = Replacer(
    {"Anna Müller": "[Person 1]", "Müller": "[Person 1]", "Müllers": "[Person 1]", "Köln": "[Ort 1]"}
)


@given(st.lists(PIECES, max_size=30).map("".join), st.sampled_from(list(Layout)))
def test_each_text_is_restored_exactly(text: str, layout: Layout) -> None:
    new, replaced = REPLACER.replace(TextFile(text, layout=layout))
    assert restore(new, replaced) == text


def test_names_of_files_have_no_form() -> None:
    assert REPLACER.replace_name("Interview_Anna-Müller_2.txt") == "Interview_[Person 1]_2.txt"
    hyphen = Replacer({"Müller-Lüdenscheidt": "[Person 1]", "Bad_Ems": "[Ort 1]"})
    assert hyphen.replace_name("Interview_Müller-Lüdenscheidt.txt") == "Interview_[Person 1].txt"
    assert hyphen.replace_name("Müller_Lüdenscheidt, Bad Ems.txt") == "[Person 1], [Ort 1].txt"
    assert Replacer({"Anna": "Mutter: 1?"}).replace_name("Anna.txt") == "Mutter_ 1_.txt"
    assert REPLACER.replace_name("Annabelle.txt") == "Annabelle.txt"


def test_placeholders_of_a_changed_text_are_found_longest_first() -> None:
    text, count = restore_placeholders("a [P 1] [P 12] P", {"[P 1]": "Anna", "[P 12]": "Max", "P": "Q"})
    assert (text, count) == ("a Anna Max Q", 3)
    assert restore_placeholders("a", {}) == ("a", 0)
