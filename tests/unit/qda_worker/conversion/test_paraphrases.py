"""What a search holds while its texts arrive has a bound, by number and by bytes."""

from collections.abc import AsyncIterator

import pytest

from qda.v1 import paraphrase_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.paraphrases import gather
from qda_worker.errors import TooManyTexts


async def chunks(count: int, characters: int) -> AsyncIterator[pb.FindParaphrasesRequest]:
    for number in range(count):
        text = text_pb2.Text(content="x" * characters)
        side = pb.TEXT_SET_SECOND if number % 2 else pb.TEXT_SET_FIRST
        yield pb.FindParaphrasesRequest(texts=pb.TextChunk(texts=[text], set=side))


async def test_both_sets_together_are_bounded_in_bytes() -> None:
    first, second = await gather(chunks(9, 100), most_bytes=1_000)
    assert (len(first.texts), len(second.texts)) == (5, 4)
    with pytest.raises(TooManyTexts, match="more than 1000 bytes") as caught:
        await gather(chunks(10, 100), most_bytes=1_000)
    assert "smaller sets" in caught.value.remedy
