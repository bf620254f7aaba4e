"""Tokens and addresses as people write them; a message never shows a part of a token."""

from pathlib import Path
from typing import Final

import pytest

from cache_warmer.hub.environment import clean_token_file, clean_tokens, strip_quotes
from cache_warmer.options import HUB, WHEEL_BASE
from model_cache.cli.options import Option
from model_cache.errors import UsageError

SECRET: Final = "hf_SeCrEt"


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f'"{SECRET}"',
        f"'{SECRET}'",
        f" '\"{SECRET}\"' \n",
        f"{SECRET}\r\n",
        f"“{SECRET}”",
        f"„{SECRET}“",
        f"Bearer {SECRET}",
        f'"Bearer {SECRET}"',
    ],
)
@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_a_token_in_quotes_is_understood(variable: str, text: str) -> None:
    environ = {variable: text, "OTHER": '"kept"'}

    clean_tokens(environ)

    assert environ == {variable: SECRET, "OTHER": '"kept"'}


@pytest.mark.parametrize("text", ["", " ", '""', "' '"])
def test_an_empty_token_is_unset(text: str) -> None:
    environ = {"HF_TOKEN": text, "HUGGING_FACE_HUB_TOKEN": SECRET}

    clean_tokens(environ)

    assert environ == {"HUGGING_FACE_HUB_TOKEN": SECRET}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hf_Se\nCrEt", "a line break"),
        ("hf_Se\rCrEt", "a line break"),
        ("hf_Se CrEt", "white space"),
        ("hf_Se\u00a0CrEt", "white space"),
        ("hf_Se\u200bCrEt", "a control character"),
        ("hf_Se\x00CrEt", "a control character"),
        ("hf_Se\u2026CrEt", "a character outside ASCII"),
        ("hf_Se\udcffCrEt", "a control character"),
    ],
)
def test_a_broken_token_is_named_and_not_shown(tmp_path: Path, text: str, kind: str) -> None:
    file = tmp_path / "token"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(UsageError) as of_variable:
        clean_tokens({"HF_TOKEN": text})
    with pytest.raises(UsageError) as of_file:
        clean_token_file(file, {})

    assert f"HF_TOKEN holds {kind}" in of_variable.value.message
    assert str(file) in of_file.value.message
    for error in (of_variable.value, of_file.value):
        shown = f"{error} {error.remedy}"
        assert "hf_Se" not in shown
        assert "CrEt" not in shown


def test_a_token_file_in_quotes_is_understood_unless_a_variable_is_set(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f'"{SECRET}"\n')
    environs: list[dict[str, str]] = [{}, {"HF_TOKEN": "other"}]

    for environ in environs:
        clean_token_file(file, environ)
        clean_token_file(tmp_path / "missing", environ)

    assert environs == [{"HF_TOKEN": SECRET}, {"HF_TOKEN": "other"}]


@pytest.mark.parametrize("option", [HUB, WHEEL_BASE])
@pytest.mark.parametrize("quote", ['"', "'", " ", '" '])
def test_an_address_in_quotes_is_understood(option: Option[str], quote: str) -> None:
    assert option.parse(f"{quote}https://hub.example/{quote[::-1]}") == "https://hub.example"


@pytest.mark.parametrize("text", ['"a', 'a"', '"', "", "'a\""])
def test_quotes_that_do_not_match_stay(text: str) -> None:
    assert strip_quotes(text) == text
