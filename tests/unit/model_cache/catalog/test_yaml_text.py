"""Parsing YAML into nodes: syntax errors, refused parts of YAML, duplicate keys."""

import pytest

from tests.support.catalog_texts import (
    SENTIMENT,
    assert_one_problem,
    catalog,
    in_sentiment,
    problems_of,
)


@pytest.mark.parametrize(
    ("text", "line", "key", "parts"),
    [
        (catalog(SENTIMENT) + "---\na: b\n", 10, "", ["a second document"]),
        (in_sentiment("key: mood", "key: m\n    key: n"), 5, "models[0].key", ["a second time (first in line 4)"]),
        ("a: [\n", 2, "", ["a syntax error"]),
        ("a: b: c\n", 1, "", ["a syntax error"]),
        ("a:\n\tb: 1\n", 2, "", ["a syntax error"]),
        ("a: 'x\n", 2, "", ["a syntax error"]),
        ("a: x\x00y\n", 1, "", ["U+0000"]),
        ("a: &x [1]\nb: *x\n", 1, "", ["the anchor &x"]),
        ("a: 1\nb: *x\n", 2, "", ["the alias *x"]),
        ("a: !!python/object/apply:os.system [id]\n", 1, "", ["the tag"]),
        ("? [a]\n: b\n", 1, "", ["a list of 1 as a key"]),
        ("a: " + "[" * 40 + "]" * 40, 1, "", ["more than 16 levels"]),
        ("[" * 100_000, 1, "", []),
    ],
)  # fmt: skip
def test_a_mistake_of_the_yaml_has_its_line_and_what_was_found(
    text: str, line: int, key: str, parts: list[str]
) -> None:
    assert_one_problem(text, line, key, parts)


def test_mistakes_before_a_syntax_error_are_reported_with_it() -> None:
    assert [problem.line for problem in problems_of("a: 1\na: 2\nb: *x\n")] == [2, 3]


def test_aliases_cannot_make_a_small_file_huge() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert len(problems_of("\n".join(lines))) == 1
