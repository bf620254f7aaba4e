"""Which files a corpus has."""

from pathlib import Path

import pytest

from model_cache.errors import UsageError
from qda_worker.client.pseudonyms.corpus_files import corpus_files


def test_the_review_list_is_no_file_of_the_corpus(tmp_path: Path) -> None:
    text, review = tmp_path / "a.txt", tmp_path / "review.csv"
    text.write_text("In Köln.", encoding="utf-8")
    assert [each.name for each in corpus_files([str(tmp_path)], review=review)] == ["a.txt"]
    review.write_text("replace;placeholder;form\n", encoding="utf-8")
    other_name = tmp_path / ".." / tmp_path.name / "review.csv"
    assert [each.name for each in corpus_files([str(tmp_path)], review=other_name)] == ["a.txt"]
    assert [each.name for each in corpus_files([str(tmp_path)])] == ["a.txt", "review.csv"]
    with pytest.raises(UsageError, match="is the review list"):
        corpus_files([str(text), str(review)], review=other_name)
    text.unlink()
    with pytest.raises(UsageError, match="there is no file to read"):
        corpus_files([str(tmp_path)], review=review)
