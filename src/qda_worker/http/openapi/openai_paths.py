"""The paths of the embeddings API in OpenAI's form, with their schemas, written by hand.

The fields are those of OpenAI's own document (https://github.com/openai/openai-openapi), less what the worker does not
have, and with its additions.
"""

from collections.abc import Mapping
from typing import Any, Final

from qda_worker.http.openapi.schemas import Schema, reference

OPENAI_TAG: Final[Schema] = {
    "name": "OpenAI",
    "description": "Embeddings for clients of OpenAI's API: the openai package, LangChain, Haystack and others.",
}

_STRINGS: Final[Schema] = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}

OPENAI_SCHEMAS: Final[Mapping[str, Schema]] = {
    "openai.EmbeddingsRequest": {
        "type": "object",
        "description": "Texts to embed.",
        "properties": {
            "model": {
                "type": "string",
                "description": "The key of a model in the catalog, or its repository with or without the organization. "
                "`model:prompt` also names a prompt of the model.",
            },
            "input": {
                "description": "One text, or up to 10,000. Token ids are refused.",
                "oneOf": [{"type": "string", "minLength": 1}, {**_STRINGS, "maxItems": 10_000}],
            },
            "encoding_format": {
                "type": "string",
                "enum": ["float", "base64"],
                "default": "float",
                "description": "A list of numbers, or base64 of little-endian float32.",
            },
            "dimensions": {
                "type": "integer",
                "minimum": 1,
                "description": "The number of leading dimensions to keep, for models that were trained for it.",
            },
            "user": {"type": "string", "description": "Who the request is for; as the header X-QDA-Caller."},
            "prompt_name": {"type": "string", "description": "The model's prompt to put before each text."},
            "long_text_policy": {
                "type": "string",
                "enum": ["cut", "window", "error"],
                "default": "cut",
                "description": "What happens to a text above the limit of the model.",
            },
        },
        "required": ["model", "input"],
        "additionalProperties": False,
    },
    "openai.EmbeddingsResponse": {
        "type": "object",
        "description": "One vector for each text, in their order.",
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": reference("openai.Embedding")},
            "model": {"type": "string", "description": "The key of the model."},
            "usage": {
                "type": "object",
                "description": "The number of tokens that the model read.",
                "properties": {"prompt_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}},
                "required": ["prompt_tokens", "total_tokens"],
            },
        },
        "required": ["object", "data", "model", "usage"],
    },
    "openai.Embedding": {
        "type": "object",
        "description": "The vector of one text.",
        "properties": {
            "object": {"const": "embedding"},
            "index": {"type": "integer"},
            "embedding": {
                "oneOf": [
                    {"type": "array", "items": {"type": "number"}},
                    {"type": "string", "contentEncoding": "base64"},
                ]
            },
        },
        "required": ["object", "index", "embedding"],
    },
    "openai.ModelList": {
        "type": "object",
        "description": "The models that embed, the default first.",
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": reference("openai.Model")},
        },
        "required": ["object", "data"],
    },
    "openai.Model": {
        "type": "object",
        "description": "One model.",
        "properties": {
            "id": {"type": "string", "description": "Its key in the catalog."},
            "object": {"const": "model"},
            "created": {"type": "integer", "description": "When this worker started, in seconds since 1970."},
            "owned_by": {"type": "string", "description": "The organization of its repository."},
            "root": {"type": "string", "description": "Its repository."},
            "max_model_len": {
                "type": "integer",
                "description": "The number of tokens that it reads of a text.",
            },
            "dimensions": {"type": "integer", "description": "The length of its vectors."},
            "shortened_dimensions": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "What `dimensions` of a request may be besides.",
            },
            "prompts": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What `prompt_name` of a request may be.",
            },
        },
        "required": ["id", "object", "created", "owned_by"],
    },
    "openai.Error": {
        "type": "object",
        "description": "An error.",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"], "description": "The field at fault."},
                    "code": {"type": ["string", "null"]},
                },
                "required": ["message", "type", "param", "code"],
            }
        },
        "required": ["error"],
    },
}


def _json(schema: str, **more: Any) -> Schema:
    return {"content": {"application/json": {"schema": reference(schema), **more}}}


_FAILED: Final[Schema] = {"description": "The request failed.", **_json("openai.Error")}

OPENAI_PATHS: Final[Mapping[str, Schema]] = {
    "/v1/embeddings": {
        "post": {
            "tags": ["OpenAI"],
            "operationId": "createEmbedding",
            "summary": "Embed one text or several",
            "description": "The request fails if one of its texts does: the field at fault is in `param`.",
            "parameters": [{"$ref": "#/components/parameters/Caller"}],
            "requestBody": {
                "required": True,
                **_json(
                    "openai.EmbeddingsRequest",
                    example={
                        "model": "multilingual-embedding",
                        "input": ["Ich musste drei Wochen warten.", "Es dauerte sehr lange."],
                    },
                ),
            },
            "responses": {
                "200": {
                    "description": "The vectors.",
                    "headers": {
                        "X-QDA-Truncated-Count": {
                            "description": "How many texts were cut at the limit of the model; absent for none.",
                            "schema": {"type": "integer"},
                        },
                        "X-QDA-Truncated": {
                            "description": "Which, from 0, as 0-4,7; a long list ends in three dots.",
                            "schema": {"type": "string"},
                        },
                    },
                    **_json("openai.EmbeddingsResponse"),
                },
                "default": _FAILED,
            },
        }
    },
    "/v1/models": {
        "get": {
            "tags": ["OpenAI"],
            "operationId": "listModels",
            "summary": "List the models that embed",
            "responses": {
                "200": {"description": "The models.", **_json("openai.ModelList")},
                "default": _FAILED,
            },
        }
    },
    "/v1/models/{model}": {
        "get": {
            "tags": ["OpenAI"],
            "operationId": "retrieveModel",
            "summary": "Describe one model that embeds",
            "parameters": [
                {
                    "name": "model",
                    "in": "path",
                    "required": True,
                    "description": "As in a request.",
                    "schema": {"type": "string"},
                    "example": "multilingual-embedding",
                }
            ],
            "responses": {
                "200": {"description": "The model.", **_json("openai.Model")},
                "default": _FAILED,
            },
        }
    },
}
