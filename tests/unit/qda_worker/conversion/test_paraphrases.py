"""The texts of a search are bounded in number and in bytes while they arrive; texts of pairs are computed once."""

from collections.abc import AsyncIterator

import pytest

from qda.v1 import paraphrase_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.paraphrases import parse_score_pairs, parse_text_sets
from qda_worker.errors import TooManyTexts


async def chunks(count: int, characters: int) -> AsyncIterator[pb.FindParaphrasesRequest]:
    for number in range(count):
        text = text_pb2.Text(content="x" * characters)
        side = pb.TEXT_SET_SECOND if number % 2 else pb.TEXT_SET_FIRST
        yield pb.FindParaphrasesRequest(texts=pb.TextChunk(texts=[text], set=side))


async def test_both_sets_together_are_bounded_in_bytes() -> None:
    first, second = await parse_text_sets(chunks(9, 100), max_bytes=1_000)
    assert (len(first.contents), len(second.contents)) == (5, 4)
    with pytest.raises(TooManyTexts, match="more than 1000 bytes") as caught:
        await parse_text_sets(chunks(10, 100), max_bytes=1_000)
    assert "smaller sets" in caught.value.remedy


def test_each_distinct_text_of_the_pairs_is_computed_once() -> None:
    sides = [("a", "b"), ("b", "a"), ("c", "c")]
    pairs = [
        pb.TextPair(first=text_pb2.Text(content=first), second=text_pb2.Text(content=second))
        for first, second in sides
    ]
    request = parse_score_pairs(pb.ScorePairsRequest(pairs=pairs))
    assert request.contents == ("a", "b", "c")
    assert [(pair.first, pair.second) for pair in request.pairs] == [(0, 1), (1, 0), (2, 2)]
