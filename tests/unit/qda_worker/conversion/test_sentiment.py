"""A request with too many sentences is refused before anything is computed."""

import pytest

from qda_worker.conversion.sentiment import check_sentence_count
from qda_worker.errors import TooManyTexts


def test_sentences_up_to_the_limit_pass_and_one_more_is_refused() -> None:
    check_sentence_count(["Ja. Nein.", "Gut"], max_sentences=3)
    with pytest.raises(TooManyTexts, match="have 3 sentences; at most 2 are allowed"):
        check_sentence_count(["Ja. Nein.", "Gut"], max_sentences=2)


def test_full_stops_that_end_no_sentence_are_not_counted() -> None:
    check_sentence_count(["z. B. am 3. Oktober um 8.30 Uhr ... u. a. in Köln"], max_sentences=1)
    check_sentence_count(["." * 1000, "\n" * 1000], max_sentences=1)
