"""Too many sentences are refused before anything is computed."""

import pytest

from qda_worker.errors import TooManyTexts
from qda_worker.services.sentiment import check_sentences


def test_as_many_sentences_as_allowed_pass_and_one_more_is_refused() -> None:
    check_sentences(["Ja. Nein.", "Gut"], most=3)
    with pytest.raises(TooManyTexts, match="have 3 sentences, and at most 2 are answered"):
        check_sentences(["Ja. Nein.", "Gut"], most=2)


def test_points_that_end_no_sentence_do_not_count() -> None:
    check_sentences(["z. B. am 3. Oktober um 8.30 Uhr ... u. a. in Köln"], most=1)
    check_sentences(["." * 1000, "\n" * 1000], most=1)
