"""The body of `POST /v1/embeddings` as a value, and that value as an EmbedRequest.

The rules are those of OpenAI's API: the names and types of the fields, and that an unknown field is refused and not
ignored. Ignoring one would lose quality without an error, for example with a misspelled `prompt_name`. Two things
differ. `null` counts as absent for optional fields, because several clients send it. Lists of token ids are refused:
they are of OpenAI's tokenizers, and mean nothing to the models here.

Two fields are additions: `prompt_name` and `long_text_policy`, of which OpenAI's API has no counterpart. Violations
name the fields as they are in the body.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from qda.v1 import embedding_pb2, text_pb2
from qda_worker.conversion.json_text import is_name
from qda_worker.errors import ArgumentInvalid, TextNotUtf8, TooManyTexts, Violation
from qda_worker.limits import MAX_TEXTS

_POLICIES: Final[Mapping[str, text_pb2.LongTextPolicy.ValueType]] = {
    "cut": text_pb2.LONG_TEXT_POLICY_CUT,
    "window": text_pb2.LONG_TEXT_POLICY_WINDOW,
    "error": text_pb2.LONG_TEXT_POLICY_ERROR,
}
_FIELDS: Final = (
    "input",
    "model",
    "encoding_format",
    "dimensions",
    "user",
    "prompt_name",
    "long_text_policy",
)

# The greatest number of dimensions that the EmbedRequest can hold.
_MAX_INT32: Final = 2**31 - 1
# A word or the name of a model that may be quoted in an error: no sentence looks like it.
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,99}", re.ASCII)

_TOKENS_REMEDY: Final = (
    "send strings: the models here have tokenizers of their own. In LangChain, set "
    "OpenAIEmbeddings(check_embedding_ctx_length=False)"
)


class EncodingFormat(StrEnum):
    """How the numbers of a vector are written: as a JSON list, or as base64 of little-endian float32."""

    FLOAT = "float"
    BASE64 = "base64"


class UnknownField(ArgumentInvalid):
    """A field that the API does not have."""


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """A parsed body.

    Attributes:
        texts: the texts to embed.
        model: as the caller names it.
        encoding_format: how to write the numbers.
        dimensions: how many leading dimensions to keep; 0: all.
        user: who the request is for, in the caller's words; empty: not said.
        prompt_name: the model's prompt to put before each text; empty: none said.
        long_text_policy: what to do with texts above the limit of the model.
    """

    texts: tuple[str, ...]
    model: str
    encoding_format: EncodingFormat = EncodingFormat.FLOAT
    dimensions: int = 0
    user: str = ""
    prompt_name: str = ""
    long_text_policy: text_pb2.LongTextPolicy.ValueType = text_pb2.LONG_TEXT_POLICY_CUT


def parse_embeddings(body: object) -> EmbeddingsRequest:
    """Parse the decoded JSON of a body.

    Raises:
        ArgumentInvalid: when a field is missing or out of range.
        UnknownField: when there is a field that the API does not have.
        TooManyTexts: when there are more texts than one request may have.
    """
    if not isinstance(body, dict):
        raise _invalid("", f"the body is {_json_type(body)}", "send a JSON object with `model` and `input`")
    for name in body:
        if name not in _FIELDS:
            raise UnknownField(
                f"unknown field {quote(name)}" if is_name(name) else "unknown field",
                f"leave it out; known are {', '.join(_FIELDS)}",
                violations=[Violation(name if is_name(name) else "", "is not a field of this request")],
            )
    return EmbeddingsRequest(
        texts=_parse_input(body.get("input")),
        model=_parse_model(body.get("model")),
        encoding_format=_parse_encoding(body),
        dimensions=_parse_dimensions(body.get("dimensions")),
        user=_parse_text(body, "user"),
        prompt_name=_parse_text(body, "prompt_name"),
        long_text_policy=_parse_policy(body),
    )


def build_embed_request(request: EmbeddingsRequest, key: str, prompt_name: str) -> embedding_pb2.EmbedRequest:
    """Build the EmbedRequest that computes the same.

    Args:
        request: the parsed body.
        key: of the model in the catalog.
        prompt_name: the prompt; empty for the model's default, if it has one.

    Raises:
        TextNotUtf8: when a text has half a surrogate pair.
    """
    message = embedding_pb2.EmbedRequest(
        model=key,
        prompt_name=prompt_name,
        long_text_policy=request.long_text_policy,
        options=embedding_pb2.EmbeddingOptions(dimension_count=request.dimensions),
    )
    for index, text in enumerate(request.texts):
        try:
            message.texts.add().content = text
        except UnicodeEncodeError:
            field = f"input[{index}]"
            raise TextNotUtf8(
                f"{field} has half a surrogate pair, which is no character",
                "send whole characters",
                violations=[Violation(field, "is not Unicode text")],
            ) from None
    return message


def quote(value: str) -> str:
    """Return a word or the name of a model in quotes, for a message; three dots for anything else."""
    return f'"{value}"' if _WORD.fullmatch(value) else '"..."'


def _parse_input(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if value is None:
        raise _invalid("input", "the request has no input", "send a string, or a list of strings")
    if not isinstance(value, list):
        raise _invalid("input", f"input is {_json_type(value)}", "send a string, or a list of strings")
    if not value:
        raise _invalid("input", "input is an empty list", "send at least one string")
    if len(value) > MAX_TEXTS:
        raise TooManyTexts(
            f"input has {len(value)} texts; at most {MAX_TEXTS} are allowed",
            "send the texts in several requests",
            violations=[Violation("input", f"holds {len(value)}; at most {MAX_TEXTS}")],
        )
    if all(isinstance(item, str) for item in value):
        return tuple(value)
    raise _invalid_item(value)


def _invalid_item(items: Sequence[object]) -> ArgumentInvalid:
    index, item = next((index, item) for index, item in enumerate(items) if not isinstance(item, str))
    if _is_number(item) or (isinstance(item, list) and all(map(_is_number, item))):
        return _invalid("input", "input holds token ids and no text", _TOKENS_REMEDY)
    return _invalid(f"input[{index}]", f"input[{index}] is {_json_type(item)}", "send strings only")


def _parse_model(value: object) -> str:
    if not isinstance(value, str) or not value:
        absent = value is None or value == ""
        problem = "the request names no model" if absent else f"model is {_json_type(value)}"
        raise _invalid("model", problem, "name a model; GET /v1/models lists them")
    return value


def _parse_encoding(body: Mapping[str, Any]) -> EncodingFormat:
    value = _parse_text(body, "encoding_format") or EncodingFormat.FLOAT
    if value not in list(EncodingFormat):
        raise _invalid("encoding_format", f"encoding_format is {quote(value)}", 'use "float" or "base64"')
    return EncodingFormat(value)


def _parse_dimensions(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():  # as R writes it
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_INT32:
        raise _invalid(
            "dimensions", "dimensions is not a whole number above 0", "send one, or leave it out for all"
        )
    return value


def _parse_policy(body: Mapping[str, Any]) -> text_pb2.LongTextPolicy.ValueType:
    value = _parse_text(body, "long_text_policy") or "cut"
    if value not in _POLICIES:
        raise _invalid(
            "long_text_policy", f"long_text_policy is {quote(value)}", 'use "cut", "window" or "error"'
        )
    return _POLICIES[value]


def _parse_text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid(name, f"{name} is {_json_type(value)}", "send a string, or leave it out")
    return value


def _invalid(field: str, problem: str, remedy: str) -> ArgumentInvalid:
    return ArgumentInvalid(problem, remedy, violations=[Violation(field, problem)] if field else ())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json_type(value: object) -> str:
    names = {str: "a string", bool: "a boolean", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")
