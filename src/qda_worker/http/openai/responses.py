"""An EmbedResponse as the JSON of `POST /v1/embeddings`.

base64 is the bytes of the vector as the message has them, little-endian float32. A list of numbers is written by
`pydantic_core`, in a tenth of the time of `json`: 32 vectors of 1,024 dimensions take 3 ms and not 40. Read back as
float32, both forms are the same numbers.

OpenAI's API has no error of a single text. So the first text that failed fails the request, with its place in `param`.
It says nothing about texts of which only the beginning was read either; two headers do.
"""

from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from google.rpc import status_pb2
from pydantic_core import to_json

from qda.v1 import embedding_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.http.openai.requests import EncodingFormat

# How many texts were cut, and which: positions from 0, as `0-4,7`.
CUT_COUNT_HEADER: Final = "x-qda-truncated-count"
CUT_HEADER: Final = "x-qda-truncated"
# Characters of `CUT_HEADER`; a longer list ends in `,...`. Proxies and Node limit all headers to 8 or 16 KiB.
_MAX_CUT_LENGTH: Final = 1000


def first_failure(response: pb.EmbedResponse) -> tuple[int, status_pb2.Status] | None:
    """Return the position and the status of the first text that failed; None if all were answered."""
    return next(
        (
            (index, result.status)
            for index, result in enumerate(response.results)
            if result.HasField("status")
        ),
        None,
    )


def build_embeddings(response: pb.EmbedResponse, encoding_format: EncodingFormat) -> bytes:
    """Build the body from a response without failures.

    `usage` counts the tokens of the texts that the model read: with special tokens, without a prompt and what was cut.
    """
    encode = _encode_base64 if encoding_format is EncodingFormat.BASE64 else _encode_list
    items = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%s}' % (index, encode(result.dense.data))
        for index, result in enumerate(response.results)
    )
    tokens = sum(result.usage.used_token_count for result in response.results)
    return b'{"object":"list","data":[%s],"model":%s,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        items,
        to_json(response.provenance.model),
        tokens,
        tokens,
    )


def truncation_headers(response: pb.EmbedResponse) -> list[tuple[str, str]]:
    """Return the headers that tell which texts were cut; none if no text was."""
    cut = [
        index
        for index, result in enumerate(response.results)
        if result.usage.outcome == text_pb2.LONG_TEXT_OUTCOME_CUT
    ]
    if not cut:
        return []
    return [(CUT_COUNT_HEADER, str(len(cut))), (CUT_HEADER, _join_ranges(cut))]


def _encode_base64(data: bytes) -> bytes:
    return b'"%s"' % b2a_base64(data, newline=False)


def _encode_list(data: bytes) -> bytes:
    return to_json(np.frombuffer(data, "<f4").tolist())


def _join_ranges(indices: Sequence[int]) -> str:
    """Return ascending numbers as `0-4,7`, at most `_MAX_CUT_LENGTH` characters."""
    joined = ",".join(f"{first}-{last}" if last > first else str(first) for first, last in _ranges(indices))
    if len(joined) <= _MAX_CUT_LENGTH:
        return joined
    return f"{joined[: joined.rindex(',', 0, _MAX_CUT_LENGTH - 3)]},..."


def _ranges(indices: Sequence[int]) -> Iterable[tuple[int, int]]:
    ends = [index for index, following in pairwise(indices) if following != index + 1]
    starts = [following for index, following in pairwise(indices) if following != index + 1]
    return zip([indices[0], *starts], [*ends, indices[-1]], strict=True)
