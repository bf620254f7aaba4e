"""Validation of untrusted file names."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_cache.safe_names import case_collision, unsafe_reason, unwritable_reason


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        ("..", "leads out"),
        ("a/../b", "leads out"),
        ("a/..", "leads out"),
        ("/a", "is absolute"),
        ("//a", "is absolute"),
        ("C:/a", "is absolute"),
        ("c:a", "is absolute"),
        ("a\\b", "backslash"),
        ("..\\a", "backslash"),
        ("a\x00b", "NUL"),
        ("a\nb", "control character"),
        ("a\x1b[0mb", "control character"),
        ("a//b", "empty part"),
        ("a/", "empty part"),
        ("./a", "empty part"),
        (".", "empty part"),
        ("ä" * 128, "a part of 256 bytes"),
        ("/".join(["a" * 200] * 6), "1205 bytes"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_a_dangerous_name_is_refused_with_its_reason(name: str, why: str) -> None:
    assert why in unsafe_reason(name)


@pytest.mark.parametrize(
    "name",
    ["config.json", "1_Pooling/config.json", "ä/ü.txt", "a\u0308.txt", "..a", "a..b", "*.json", "x" * 255],
)
def test_an_ordinary_name_is_accepted(name: str) -> None:
    assert unsafe_reason(name) == ""


@given(st.text(max_size=30) | st.lists(st.sampled_from(["..", ".", "", "a", "C:", "/"])).map("/".join))
def test_every_accepted_name_stays_below_its_folder(name: str) -> None:
    if not unsafe_reason(name):
        path = PurePosixPath("/root/folder") / name
        assert path.parts[:3] == ("/", "root", "folder")
        assert len(path.parts) > 3
        assert ".." not in path.parts


@pytest.mark.parametrize("name", ["sub/aux.json", "config.json:x", "a./b", "what?.txt"])
def test_a_name_that_windows_does_not_store_is_refused_there_alone(name: str) -> None:
    assert unwritable_reason(name, "linux") == unsafe_reason(name) == ""
    assert "Windows" in unwritable_reason(name, "win32")


def test_what_is_unsafe_anywhere_is_not_written() -> None:
    assert unwritable_reason("../a", "linux") == unsafe_reason("../a")


@pytest.mark.parametrize(
    ("paths", "collision"),
    [
        (["a/b", "A/b"], ("a", "A")),
        (["a/b", "A/c"], ("a", "A")),
        (["x/README.md", "x/readme.md"], ("x/README.md", "x/readme.md")),
        (["straße", "STRASSE"], ("straße", "STRASSE")),
        (["a/b", "a/b", "a/c"], None),
    ],
)
def test_names_that_differ_in_case_alone_are_found(
    paths: list[str], collision: tuple[str, str] | None
) -> None:
    assert case_collision(paths) == collision
