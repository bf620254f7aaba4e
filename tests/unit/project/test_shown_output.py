"""What `…` stands for in the output that a page shows."""

from typing import Final

import pytest

from tests.support.shown_output import missing_line

PRINTED: Final = "MODEL  STATE\none    OK\ntwo    OK\n\nOK: all 2 are complete  \n"


@pytest.mark.parametrize(
    "shown",
    [
        ["MODEL  STATE", "one    OK", "two    OK", "", "OK: all 2 are complete"],
        ["…", "OK: all … complete"],
        ["MODEL…", "…", "two …", "…"],
        ["…", "MODEL  STATE", "…", "one    OK", "…", "OK: …"],
        ["…"],
    ],
)
def test_a_shortened_output_is_recognized(shown: list[str]) -> None:
    assert missing_line(shown, PRINTED) is None


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        (["MODEL … complete"], "MODEL … complete"),  # words of two lines
        (["…", "OK: … 2 … all …"], "OK: … 2 … all …"),  # another order
        (["…", "two    OK", "one    OK", "…"], "one    OK"),
        (["…", "OK: … are complet"], "OK: … are complet"),
        (["one    OK", "…"], "one    OK"),  # it is not the first line
        (["MODEL  STATE", "two    OK", "…"], "two    OK"),  # a line is left out without `…`
        (["…", "two    OK"], ""),  # more is printed
        (["…", "OK: all 2 are complete", "more: …"], "more: …"),  # less is printed
        (["…", "o.e    OK", "…"], "o.e    OK"),  # a word is no pattern
    ],
)
def test_another_output_is_not(shown: list[str], missing: str) -> None:
    assert missing_line(shown, PRINTED) == missing


def test_nothing_is_shown_of_a_command_that_prints_nothing() -> None:
    assert missing_line([], "") is None
    assert missing_line(["…"], "") is None
    assert missing_line([], "a\n") == ""
