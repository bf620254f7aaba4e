"""The OpenAPI document: generated from a descriptor set of the proto, and read when the worker serves it.

`python -m qda_worker.http.openapi.document DESCRIPTORS FILE` writes the document; `scripts/generate-openapi` calls it
with a descriptor set that has the comments, which the generated stubs lack. So the document is made when the proto
changes and not by the worker, and a change of the interface shows in its diff.

Unary methods are paths. Methods with streams are named in the description of their service: a browser or curl cannot
call them with a plain JSON body.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto

from qda_worker.http.openapi.examples import EXAMPLES
from qda_worker.http.openapi.openai_paths import OPENAI_PATHS, OPENAI_SCHEMAS, OPENAI_TAG
from qda_worker.http.openapi.schemas import Comments, Schema, build_schemas, reachable, reference

_FILE: Final = "openapi.json"
_PACKAGE: Final = "qda.v1"
_DESCRIPTION: Final = (
    "Text analysis for qualitative research: sentiment, named entities, syntax, embeddings, paraphrases.\n\n"
    "Each unary method of the gRPC interface is a POST with a JSON object, by the Connect protocol. The JSON is that "
    "of proto3: names in lowerCamelCase (those of the proto are read as well), enums by name, 64-bit integers and "
    "bytes as strings. A response has its fields with default values too; a message that is not set is absent. "
    "Unknown fields of a request are refused.\n\n"
    "`/v1` is an embeddings API as OpenAI's clients call it."
)

# Schema of the errors of methods, as https://connectrpc.com/docs/protocol/#error-end-stream defines them.
_ERROR: Final[Schema] = {
    "type": "object",
    "description": "An error of the whole call. The message begins with the reason and ends with a remedy.",
    "properties": {
        "code": {
            "type": "string",
            "description": "The gRPC status in lower case.",
            "enum": [
                "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
                "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range",
                "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated",
            ],
        },
        "message": {"type": "string"},
        "details": {
            "type": "array",
            "description": "ErrorInfo, and where they apply BadRequest and RetryInfo of google.rpc.",
            "items": {
                "type": "object",
                "properties": {
                    "type": {"type": "string", "examples": ["google.rpc.ErrorInfo"]},
                    "value": {"type": "string", "description": "The message in base64, without padding."},
                    "debug": {"description": "The message as JSON."},
                },
                "required": ["type", "value"],
            },
        },
    },
    "required": ["code"],
}  # fmt: skip
_ERROR_NAME: Final = "connect.Error"

_PARAMETERS: Final[Mapping[str, Schema]] = {
    "Caller": {
        "name": "X-QDA-Caller",
        "in": "header",
        "description": "Who calls: its share of the queue, and its name in logs.",
        "schema": {"type": "string", "maxLength": 100},
    },
    "Timeout": {
        "name": "Connect-Timeout-Ms",
        "in": "header",
        "description": "The deadline of the call in milliseconds.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 9_999_999_999},
    },
}


def read_document(version: str) -> bytes:
    """Return the document in its JSON form, with the version of this worker."""
    document = json.loads(files(__package__).joinpath(_FILE).read_bytes())
    document["info"]["version"] = version
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def build_document(descriptors: FileDescriptorSet) -> dict[str, Any]:
    """Build the document from a descriptor set with source information, imports included."""
    schemas = {**build_schemas(descriptors.file), _ERROR_NAME: _ERROR, **OPENAI_SCHEMAS}
    paths: dict[str, Any] = {}
    tags: list[Schema] = []
    roots = [_ERROR_NAME, *OPENAI_SCHEMAS]
    for name, comment, methods in _services(descriptors):
        streams = [method.name for method, _ in methods if method.client_streaming or method.server_streaming]
        note = f"\n\nWith streams, over gRPC: {', '.join(streams)}." if streams else ""
        tags.append({"name": name, "description": comment + note})
        for method, text in methods:
            if method.name in streams:
                continue
            paths[f"/{_PACKAGE}.{name}/{method.name}"] = {"post": _operation(name, method, text)}
            roots += [method.input_type.removeprefix("."), method.output_type.removeprefix(".")]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "qda-worker",
            "description": _DESCRIPTION,
            "version": "0",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}],
        "tags": [*tags, OPENAI_TAG],
        "paths": {**paths, **OPENAI_PATHS},
        "components": {
            "schemas": reachable(roots, schemas),
            "parameters": dict(_PARAMETERS),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token, where the worker asks for one.",
                }
            },
        },
    }


def _services(
    descriptors: FileDescriptorSet,
) -> Iterator[tuple[str, str, Sequence[tuple[MethodDescriptorProto, str]]]]:
    """Yield name, comment, and methods with their comments, of each service of the package."""
    for file in descriptors.file:
        if file.package != _PACKAGE:
            continue
        comments = Comments(file)
        for number, service in enumerate(file.service):
            methods = [
                (method, comments.method(number, index)) for index, method in enumerate(service.method)
            ]
            yield service.name, comments.service(number), methods


def _operation(service: str, method: MethodDescriptorProto, comment: str) -> Schema:
    example = EXAMPLES.get(f"{service}/{method.name}")
    content: Schema = {"schema": reference(method.input_type)}
    if example is not None:
        content["example"] = example
    return {
        "tags": [service],
        "operationId": f"{service}_{method.name}",
        "summary": comment.partition(". ")[0].partition("\n")[0].rstrip("."),
        "description": comment,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {
                "description": "The result. Errors of single texts are in it.",
                "content": {"application/json": {"schema": reference(method.output_type)}},
            },
            "default": {
                "description": "The call failed.",
                "content": {"application/json": {"schema": reference(_ERROR_NAME)}},
            },
        },
    }


def main(arguments: Sequence[str]) -> None:
    """Write the document.

    Args:
        arguments: the files of the descriptor set and of the document.
    """
    source, target = map(Path, arguments)
    document = build_document(FileDescriptorSet.FromString(source.read_bytes()))
    target.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
