"""A corpus with placeholders, its key, and the way back."""

import json
import stat
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from qda_worker.client.pseudonyms.apply import Summary, apply_review, restore_corpus
from qda_worker.client.pseudonyms.corpus_files import corpus_files
from qda_worker.client.pseudonyms.key_file import read_key
from qda_worker.client.pseudonyms.review_list import ReviewedForm
from tests.support.document_files import docx, paragraph

REVIEWED: Final = [
    ReviewedForm("Anna Müller", "[Person 1]", 2),
    ReviewedForm("Müllers", "[Person 1]", 3),
    ReviewedForm("Köln", "[Ort 1]", 4),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "Köln").mkdir(parents=True)
    (folder / "Anna_Müller.txt").write_bytes("\ufeffAnna\r\nMüller, Müllers [Person 1]\r\n".encode())
    (folder / "Köln" / "b.jsonl").write_bytes(b'{"id": 1, "text": "In K\\u00f6ln\\n"}\n')
    (folder / "c.csv").write_bytes("text\r\nKöln\r\n".encode("cp1252"))
    return folder


def apply(corpus: Path, tmp_path: Path, reviewed: list[ReviewedForm] = REVIEWED) -> Summary:
    return apply_review(corpus_files([str(corpus)]), reviewed, tmp_path / "out", tmp_path / "key.json")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_corpus_gets_placeholders_and_comes_back(corpus: Path, tmp_path: Path) -> None:
    summary = apply(corpus, tmp_path)
    assert (summary.files, summary.replaced) == (3, 4)
    assert tree(tmp_path / "out") == {
        "[Person 1].txt": "\ufeff[Person 1], [Person 1] [Person 1]\r\n".encode(),
        "[Ort 1]/b.jsonl": b'{"id": 1, "text": "In [Ort 1]\\n"}\n',
        "c.csv": b"text\r\n[Ort 1]\r\n",
    }
    assert any("ambiguous" in notice and "[Person 1]" in notice for notice in summary.notices)
    restored = restore_corpus(
        corpus_files([str(tmp_path / "out")]), read_key(tmp_path / "key.json"), tmp_path / "back"
    )
    assert restored.notices == []
    assert tree(tmp_path / "back") == tree(corpus)


def test_files_with_the_same_content_come_back_under_their_own_names(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    (corpus / "v1.0").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "v1.0/c.txt"):
        (corpus / name).write_text("In Köln.", encoding="utf-8")
    apply(corpus, tmp_path)
    out = tmp_path / "out"
    # Renamed, and before the others in order; a copy more than the key has; and a changed file with a taken name.
    (out / "v1.0" / "c.txt").rename(out / "0.txt")
    (out / "z.txt").write_text("In [Ort 1].", encoding="utf-8")
    (out / "v1.0" / "c.txt").write_text("Nach [Ort 1].", encoding="utf-8")
    summary = restore_corpus(corpus_files([str(out)]), read_key(tmp_path / "key.json"), tmp_path / "back")
    assert tree(tmp_path / "back") == {
        **dict.fromkeys(("a.txt", "b.txt", "v1.0/c.txt", "z.txt"), "In Köln.".encode()),
        "v1.0/c (2).txt": "Nach Köln.".encode(),
    }
    assert (summary.files, summary.replaced) == (5, 5)
    assert ["z.txt" in notice for notice in summary.notices] == [True]


def test_the_key_is_for_its_owner_alone_and_apart_from_the_texts(corpus: Path, tmp_path: Path) -> None:
    apply(corpus, tmp_path)
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600
    assert not any(b"Anna" in content for content in tree(tmp_path / "out").values())
    inside = tmp_path / "other" / "key.json"
    with pytest.raises(UsageError, match="would be in the folder of the texts"):
        apply_review(corpus_files([str(corpus)]), REVIEWED, tmp_path / "other", inside)
    with pytest.raises(UsageError, match=r"key\.json exists"):
        apply_review(corpus_files([str(corpus)]), REVIEWED, tmp_path / "other", tmp_path / "key.json")
    assert not (tmp_path / "other").exists()


def test_a_failure_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    (corpus / "d.txt").write_bytes(b"K\xf6ln")
    with pytest.raises(UsageError, match="not UTF-8"):
        apply(corpus, tmp_path)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "key.json").exists()
    (corpus / "d.txt").write_bytes("Köln".encode())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="out exists"):
        apply(corpus, tmp_path)
    assert tree(tmp_path / "out") == {"mine.txt": b"kept"}
    assert not (tmp_path / "key.json").exists()


def test_a_placeholder_must_fit_the_encoding(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CP1252"):
        apply(corpus, tmp_path, [ReviewedForm("Köln", "город", 2)])
    assert not (tmp_path / "out").exists()


def test_what_is_left_is_told(corpus: Path, tmp_path: Path) -> None:
    (corpus / "d.txt").write_text("Mail: a@b.de", encoding="utf-8")
    summary = apply(corpus, tmp_path, [*REVIEWED, ReviewedForm("30123", "[Telefon 1]", 9)])
    assert any('"30123" (row 9)' in notice for notice in summary.notices)
    assert any("a@b.de" in notice for notice in summary.notices)


def test_a_changed_text_gets_the_most_complete_form(corpus: Path, tmp_path: Path) -> None:
    apply(corpus, tmp_path)
    changed = tmp_path / "out" / "c.csv"
    changed.write_bytes(b"text\r\n[Ort 1] und [Person 1]\r\n")
    summary = restore_corpus(corpus_files([str(changed)]), read_key(tmp_path / "key.json"), tmp_path / "back")
    assert (tmp_path / "back" / "c.csv").read_text() == "text\nKöln und Anna Müller\n"
    assert any("c.csv" in notice for notice in summary.notices)


def test_documents_become_text_files(tmp_path: Path) -> None:
    path = tmp_path / "corpus" / "Anna Müller.docx"
    path.parent.mkdir()
    path.write_bytes(docx(paragraph("Anna Müller kommt.") + paragraph("Aus Köln.")))
    summary = apply(path.parent, tmp_path)
    assert tree(tmp_path / "out") == {"[Person 1].docx.txt": b"[Person 1] kommt.\nAus [Ort 1]."}
    assert any("without their formatting" in notice for notice in summary.notices)
    back = restore_corpus(
        corpus_files([str(tmp_path / "out")]), read_key(tmp_path / "key.json"), tmp_path / "back"
    )
    assert tree(tmp_path / "back") == {"Anna Müller.docx.txt": "Anna Müller kommt.\nAus Köln.".encode()}
    assert any("only the text" in notice for notice in back.notices)


def test_a_key_that_was_changed_is_refused(corpus: Path, tmp_path: Path) -> None:
    apply(corpus, tmp_path)
    key = tmp_path / "key.json"
    document = json.loads(key.read_text())
    for entry in document["files"]:
        entry["original"] = "../../escaped.txt"
    key.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="leads out"):
        restore_corpus(corpus_files([str(tmp_path / "out")]), read_key(key), tmp_path / "back")
    assert not (tmp_path / "back").exists()
    for wrong in ("{}", "[]", "no JSON", json.dumps({**document, "format": 2})):
        key.write_text(wrong)
        with pytest.raises(UsageError):
            read_key(key)


def test_files_of_unknown_types_are_named(corpus: Path) -> None:
    (corpus / "photo.png").write_bytes(b"x")
    messages: list[str] = []
    assert len(corpus_files([str(corpus)], messages.append)) == 3
    assert "photo.png" in messages[0]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text("x")
    with pytest.raises(UsageError, match="same name"):
        corpus_files([str(tmp_path / "a" / "x.txt"), str(tmp_path / "b" / "x.txt")])
    with pytest.raises(UsageError, match="stdin"):
        corpus_files(["-"])
    assert [each.name for each in corpus_files([str(tmp_path)])] == ["a/x.txt", "b/x.txt"]
