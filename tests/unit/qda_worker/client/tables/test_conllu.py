"""CoNLL-U that readers of Universal Dependencies accept: ids, heads, one root, text that the words give, unique ids."""

import re
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.client.tables.conllu import ConlluWriter

_UPOS: Final = ("NOUN", "VERB", "PUNCT")


def token(
    text: str, start: int, *, space: bool = True, head: int | None = None, **fields: Any
) -> dict[str, Any]:
    return {
        "text": text,
        "start": start,
        "end": start + len(text),
        "space_after": space,
        "head": head,
        **fields,
    }


def record(tokens: Sequence[dict[str, Any]], *sentences: tuple[int, int], name: str = "a") -> dict[str, Any]:
    return {
        "id": name,
        "text": "",
        "tokens": list(tokens),
        "sentences": [{"first_token": first, "token_count": count} for first, count in sentences],
        "provenance": {"source": "de_x", "revision": "1"},
    }


def check(blocks: Sequence[str]) -> list[list[list[str]]]:
    """Check the rules of the format, and return the rows of each sentence."""
    sentences, seen = [], set()
    for block in blocks:
        assert block.endswith("\n\n")
        lines = block[:-2].split("\n")
        assert all(lines)
        comments = dict(line[2:].split(" = ", 1) for line in lines if line.startswith("# "))
        rows = [line.split("\t") for line in lines if not line.startswith("#")]
        assert re.fullmatch(r"[^\s/]+", comments["sent_id"])
        assert comments["sent_id"] not in seen
        seen.add(comments["sent_id"])
        assert rows
        assert all(len(row) == 10 and all(row) for row in rows)
        assert not any(field != field.strip() for row in rows for field in row)
        assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
        text = "".join(row[1] + " " * ("SpaceAfter=No" not in row[9].split("|")) for row in rows)
        assert comments["text"] == text.rstrip()
        heads = [row[6] for row in rows]
        if heads[0] == "_":
            assert {(row[6], row[7]) for row in rows} == {("_", "_")}
        else:
            assert [row[7] == "root" for row in rows] == [head == "0" for head in heads]
            assert heads.count("0") == 1
            assert all(
                0 <= int(head) <= len(rows) and head != row[0] for head, row in zip(heads, rows, strict=True)
            )
            for number in range(1, len(rows) + 1):  # every word leads to the root
                steps = 0
                while number and steps <= len(rows):
                    number, steps = int(heads[number - 1]), steps + 1  # noqa: PLW2901
                assert number == 0
        sentences.append(rows)
    return sentences


def test_words_features_and_spaces_are_written_as_the_format_says() -> None:
    tokens = [
        token("\n", 0, space=False, head=1, universal_part_of_speech="SPACE"),
        token("Häuser", 1, head=2, lemma="Haus", universal_part_of_speech="NOUN", fine_part_of_speech="NN",
              morphology="Number=Plur|case=Nom", dependency_label="sb", entity_label="LOC", entity_begins=True),
        token("stehen", 8, head=2, lemma="stehen", dependency_label="ROOT"),
        token(" ", 15, space=False, head=2, universal_part_of_speech="SPACE"),
        token("leer", 16, space=False, head=3, dependency_label="mo"),
        token(".", 20, space=False, head=2, dependency_label="punct"),
        token("\n\n", 21, space=False, head=2),
        token("Ja", 23, space=False, head=7, dependency_label="ROOT"),
    ]  # fmt: skip
    blocks = list(ConlluWriter().blocks(record(tokens, (0, 7), (7, 1))))
    first, second = check(blocks)
    assert blocks[0].splitlines()[:4] == [
        "# newdoc id = a",
        "# model = de_x 1",
        "# sent_id = a-1",
        "# text = Häuser stehen leer.",
    ]
    assert first == [
        ["1", "Häuser", "Haus", "NOUN", "NN", "case=Nom|Number=Plur", "2", "sb", "_",
         "NER=B-LOC|SpacesBefore=\\n|TokenRange=1:7"],
        ["2", "stehen", "stehen", "_", "_", "_", "0", "root", "_", "SpacesAfter=\\s\\s|TokenRange=8:14"],
        ["3", "leer", "_", "_", "_", "_", "2", "mo", "_", "SpaceAfter=No|TokenRange=16:20"],
        ["4", ".", "_", "_", "_", "_", "2", "punct", "_", "SpacesAfter=\\n\\n|TokenRange=20:21"],
    ]  # fmt: skip
    assert second == [["1", "Ja", "_", "_", "_", "_", "0", "root", "_", "SpaceAfter=No|TokenRange=23:25"]]


def test_white_space_before_the_first_word_is_kept_also_as_a_sentence() -> None:
    tokens = [token("\n\n", 0, space=False, head=0), token("Ja", 2, head=1), token("Gut", 5, head=2)]
    first, second = check(list(ConlluWriter().blocks(record(tokens, (0, 1), (1, 1), (2, 1)))))
    assert "SpacesBefore=\\n\\n" in first[0][9].split("|")
    assert "SpacesBefore" not in second[0][9]


def test_an_analysis_gives_the_blocks_of_its_syntax() -> None:
    alone = record([token("Ja", 0, head=0)], (0, 1))
    analysis = {
        "id": "a",
        "text": "Ja",
        "syntax": {"tokens": alone["tokens"], "sentences": alone["sentences"]},
        "provenance": {
            "sentiment": {"source": "other", "revision": "2"},
            "embeddings": [],
            "syntax": alone["provenance"],
        },
        "options": {"command": "analyze", "tasks": ["sentiment", "syntax=de"]},
    }
    assert list(ConlluWriter().blocks(analysis)) == list(ConlluWriter().blocks(alone))
    assert not list(ConlluWriter().blocks({**analysis, "syntax": None}))


def test_a_text_without_sentences_is_one_block_without_heads() -> None:
    (rows,) = check(list(ConlluWriter().blocks(record([token("Na", 0, head=0), token("ja", 3, head=1)]))))
    assert [row[6:8] for row in rows] == [["_", "_"], ["_", "_"]]


@pytest.mark.parametrize("tokens", [[], [token("\n ", 0)]])
def test_a_text_without_words_has_no_block(tokens: list[dict[str, Any]]) -> None:
    assert not list(ConlluWriter().blocks(record(tokens)))


def test_ids_are_unique_and_have_no_space_or_slash() -> None:
    writer = ConlluWriter()
    blocks = [
        block
        for name in ("interview 3/12", "interview-3-12", "", "")
        for block in writer.blocks(record([token("x", 0)], (0, 1), name=name))
    ]
    check(blocks)
    assert [block.splitlines()[2] for block in blocks] == [
        "# sent_id = interview-3-12-1",
        "# sent_id = interview-3-12.2-1",
        "# sent_id = text-1",
        "# sent_id = text.2-1",
    ]


@pytest.mark.parametrize(
    "names", [("a", "a", "a.2"), ("b c", "b-c", "b-c.2"), ("a.2", "a", "a", "a", "a.2.2")]
)
def test_ids_that_look_like_numbered_ones_are_unique_too(names: tuple[str, ...]) -> None:
    writer = ConlluWriter()
    blocks = [block for name in names for block in writer.blocks(record([token("x", 0)], (0, 1), name=name))]
    check(blocks)
    assert len({block.splitlines()[0] for block in blocks}) == len(names)


@given(st.data())
def test_any_tokens_give_a_valid_file(data: st.DataObject) -> None:
    """Also with white space as a head or root, and heads in a circle, which no parser gives."""
    tokens: list[dict[str, Any]] = []
    sentences: list[tuple[int, int]] = []
    position = 0
    for _ in range(data.draw(st.integers(1, 4))):
        count = data.draw(st.integers(1, 6))
        first = len(tokens)
        root = data.draw(st.integers(0, count - 1))
        for number in range(count):
            text = data.draw(
                st.sampled_from(["ab", "ü", " ", "\n\n", "\u00a0", ".", "_", "#", "a|b", "=", "\u2028"])
            )
            head = (
                root
                if number != root and number % 2
                else data.draw(st.integers(0, number))
                if number > root
                else root
            )
            label = data.draw(st.sampled_from(["ROOT", "sb", "", "punct"]))
            tokens.append(
                token(text, position, space=data.draw(st.booleans()), head=first + head, dependency_label=label,
                      lemma=data.draw(st.sampled_from(["", "x", "\t", "a b"])),
                      universal_part_of_speech=data.draw(st.sampled_from(_UPOS)))
            )  # fmt: skip
            position += len(text) + 1
        sentences.append((first, count))
    check(list(ConlluWriter().blocks(record(tokens, *sentences))))
