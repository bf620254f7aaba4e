"""Reading and parsing catalogs as a whole, and the report of all mistakes at once."""

from pathlib import Path

import pytest

from model_cache.catalog.parse import MAX_BYTES, load_catalog
from model_cache.errors import CatalogInvalid
from tests.support.catalog_texts import (
    COMMIT,
    ENTITIES,
    SENTIMENT,
    SHA256,
    assert_one_problem,
    catalog,
    problems_of,
)


@pytest.mark.parametrize(
    ("text", "line", "key", "parts"),
    [
        (catalog(SENTIMENT).replace("qda/v1", "qda/v2"), 1, "apiVersion", ['"qda/v2"', "qda/v1"]),
        (catalog(SENTIMENT).replace("kind: Catalog", "kind: catalog"), 2, "kind", ['did you mean "Catalog"']),
        (catalog(SENTIMENT).replace("kind: Catalog\n", ""), 1, "kind", ["no such key"]),
        (catalog(SENTIMENT) + "modles: 1\n", 10, "modles", ["unknown key", "apiVersion, kind, models"]),
        ("apiVersion: qda/v1\nkind: Catalog\nmodels: []\n", 3, "models", ["an empty list", "at least one"]),
        ("apiVersion: qda/v1\nkind: Catalog\nmodels: {}\n", 3, "models", ["an empty mapping", "a list"]),
        ("apiVersion: qda/v1\nkind: Catalog\nmodels: [x]\n", 3, "models[0]", ['"x"', "a mapping"]),
        ("- a\n", 1, "", ["a list of 1", "a mapping with apiVersion, kind and models"]),
        ("", 1, "", ["an empty file"]),
        ("# nothing\n", 1, "", ["an empty file"]),
        (catalog(SENTIMENT, SENTIMENT), 10, "models[1].key", ['"mood" a second time (first in line 4)']),
    ],
)  # fmt: skip
def test_a_mistake_of_the_document_has_line_key_and_what_is_allowed(
    text: str, line: int, key: str, parts: list[str]
) -> None:
    assert_one_problem(text, line, key, parts)


def test_all_mistakes_are_reported_at_once_in_the_order_of_lines() -> None:
    text = catalog(
        SENTIMENT.replace("sentiment", "sentimnet").replace(COMMIT, "main"),
        ENTITIES.replace("3.8.0\n", "3.8\n").replace(SHA256, "abc"),
    ).replace("kind: Catalog", "kind: Katalog")
    found = [(problem.line, problem.key.rpartition(".")[2]) for problem in problems_of(text)]
    assert found == [(2, "kind"), (5, "task"), (8, "revision"), (13 + 1, "version"), (16, "sha256")]


def test_two_defaults_of_one_task_contradict_each_other() -> None:
    default = "    serving: {default: true}\n"
    text = catalog(SENTIMENT + default, SENTIMENT.replace("key: mood", "key: other") + default)
    (problem,) = problems_of(text)
    assert (problem.line, problem.key) == (17, "models[1].serving.default")
    assert 'the first is "mood"' in problem.found


def test_a_missing_catalog_is_invalid_and_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogInvalid, match=r"none\.yaml: found No such file") as caught:
        load_catalog(tmp_path / "none.yaml")
    assert "at these lines" not in caught.value.remedy


def test_a_folder_is_not_a_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogInvalid, match="Is a directory"):
        load_catalog(tmp_path)


def test_text_that_is_not_utf8_is_reported_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"apiVersion: qda/v1\n# \xfcbung\n")
    with pytest.raises(CatalogInvalid, match=r"c\.yaml:2: found bytes that are not UTF-8"):
        load_catalog(tmp_path / "c.yaml")


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbf" + catalog(SENTIMENT).encode())
    assert load_catalog(tmp_path / "c.yaml").origin == str(tmp_path / "c.yaml")


def test_an_endless_device_is_read_up_to_the_limit_only(tmp_path: Path) -> None:
    with pytest.raises(CatalogInvalid, match=f"more than {MAX_BYTES} bytes"):
        load_catalog(Path("/dev/zero"))
