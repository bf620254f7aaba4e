r"""Rules of Windows for paths and names: drives, shares, `\\?\`, variables, reserved names, case, length."""

import ntpath
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_cache.windows_paths import (
    MAX_PATH_CHARACTERS,
    absolute,
    excess_characters,
    expand_variables,
    is_below,
    join,
    quoted,
    unusable_part,
    without_extended_prefix,
)


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("CON", "reserves"),
        ("nul", "reserves"),
        ("aux.json", "reserves"),
        ("aux .json", "reserves"),
        ("Com1.tar.gz", "reserves"),
        ("lpt\u00b9", "reserves"),
        ("CONIN$", "reserves"),
        ("config.json.", "ends in a dot"),
        ("config ", "ends in a dot or a space"),
        ("config.json:stream", '":"'),
        ("what?", '"?"'),
        ("*.json", '"*"'),
        ("a|b", '"|"'),
        ('a"b', '"""'),
    ],
)
def test_a_name_that_windows_does_not_store_is_told_with_its_reason(part: str, why: str) -> None:
    assert why in unusable_part(["folder", part])


@pytest.mark.parametrize(
    "part", ["config.json", "console.txt", "auxiliary", "com10", "com", "a.con", ".gitattributes", "ä ö.txt"]
)
def test_an_ordinary_name_is_stored(part: str) -> None:
    assert unusable_part([part]) == ""


@given(st.text(min_size=1, max_size=12))
def test_what_python_calls_reserved_is_refused(part: str) -> None:
    # the method is deprecated since the function is there, in Python 3.13
    is_reserved = getattr(ntpath, "isreserved", None) or (lambda name: PureWindowsPath(name).is_reserved())
    if not set(part) & set("/\\") and part not in {".", ".."} and is_reserved(part):
        assert unusable_part([part])


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        (r"\\?\C:\models", r"C:\models"),
        (r"\\?\UNC\server\share\x", r"\\server\share\x"),
        (r"\\?\unc\server\share", r"\\server\share"),
        (r"\\?\Volume{1}\x", r"\\?\Volume{1}\x"),
        ("//?/C:/models", r"C:\models"),
        (r"\\server\share", r"\\server\share"),
        ("C:/a/b", r"C:\a\b"),
    ],
)
def test_the_extended_prefix_is_taken_off(path: str, plain: str) -> None:
    assert without_extended_prefix(path) == plain


def test_absolute_paths_have_backslashes_and_no_dots() -> None:
    assert absolute("C:/a/./b/../c") == r"C:\a\c"
    assert absolute(r"\\server\share\a/b") == r"\\server\share\a\b"


@pytest.mark.parametrize(
    ("folder", "path", "joined"),
    [
        (r"C:\cache", "huggingface/hub", r"C:\cache\huggingface\hub"),
        ("D:\\", "spacy", r"D:\spacy"),
        (r"\\server\share", "torch", r"\\server\share\torch"),
        (r"C:\cache", "", r"C:\cache"),
    ],
)
def test_a_path_below_a_folder(folder: str, path: str, joined: str) -> None:
    assert join(folder, path) == joined


def test_variables_are_expanded_in_any_case_and_unknown_ones_stay() -> None:
    variables = {"LOCALAPPDATA": r"C:\Users\me\AppData\Local", "Data": "D:"}
    assert expand_variables(r"%LocalAppData%\hf", variables) == r"C:\Users\me\AppData\Local\hf"
    assert expand_variables(r"$DATA\${data}\%NONE%", variables) == r"D:\D:\%NONE%"


@pytest.mark.parametrize(
    ("path", "folder", "below"),
    [
        (r"C:\Cache\hub\x", r"c:\cache", True),
        (r"C:\cache", r"C:\cache", True),
        (r"C:\cache2\x", r"C:\cache", False),
        (r"D:\cache\x", r"C:\cache", False),
        (r"\\?\C:\cache\x", r"C:\cache", True),
        (r"\\?\UNC\server\share\x", r"\\server\share", True),
        (r"\\other\share\x", r"\\server\share", False),
        (r"D:\x", "D:\\", True),
    ],
)
def test_containment_ignores_case_and_prefix(path: str, folder: str, below: bool) -> None:
    assert is_below(path, folder) is below


def test_a_path_at_the_limit_fits_with_its_temporary_name() -> None:
    folder = r"C:\cache"
    fitting = MAX_PATH_CHARACTERS - 24 - len(folder) - 1
    assert excess_characters(folder, "a" * fitting) == 0
    assert excess_characters(folder, "a" * (fitting + 3)) == 3
    assert excess_characters(folder, "\U0001f600" * fitting) == fitting  # two UTF-16 units each


@given(st.lists(st.sampled_from(["a", "..", ".", "C:", "b.json"]), min_size=1, max_size=5))
def test_an_absolute_path_is_below_its_own_drive(parts: list[str]) -> None:
    path = absolute("C:\\" + "\\".join(part for part in parts if part != "C:"))
    assert ntpath.isabs(path)
    assert is_below(path, "C:\\")


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        (r"D:\models", r"D:\models"),
        ("--cache", "--cache"),
        (r"C:\Users\Ann Example\c.yaml", r'"C:\Users\Ann Example\c.yaml"'),
        ("C:\\my models\\", '"C:\\my models\\\\"'),
        ("", '""'),
        ("it's", '"it\'s"'),
        ("a&b", '"a&b"'),
    ],
)
def test_arguments_are_quoted_as_both_shells_of_windows_read_them(argument: str, text: str) -> None:
    assert quoted(argument) == text
