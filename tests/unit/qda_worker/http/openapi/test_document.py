"""The OpenAPI document: valid, complete, and with examples that its schemas and the methods accept."""

import json
from typing import Any, Final

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from qda_worker.http.openapi.document import read_document
from qda_worker.http.openapi.examples import EXAMPLES
from qda_worker.services import SERVICES

DOCUMENT: Final[dict[str, Any]] = json.loads(read_document("1.2.3"))
PACKAGE: Final = "qda.v1"


def methods() -> list[MethodDescriptor]:
    pool = descriptor_pool.Default()
    return [method for name in SERVICES for method in pool.FindServiceByName(name).methods]


def unary(method: MethodDescriptor) -> bool:
    return not (method.client_streaming or method.server_streaming)


def path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def problems(value: Any, schema: dict[str, Any]) -> list[str]:
    complete = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(complete).iter_errors(value)]


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def test_the_version_is_that_of_the_worker() -> None:
    assert DOCUMENT["info"]["version"] == "1.2.3"


def test_every_unary_method_is_a_path_and_no_other() -> None:
    paths = {each for each in DOCUMENT["paths"] if each.startswith(f"/{PACKAGE}.")}
    assert paths == {path(method) for method in methods() if unary(method)}


def test_streams_are_named_at_their_service() -> None:
    descriptions = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}
    for method in methods():
        if not unary(method):
            assert method.name in descriptions[method.containing_service.name]


def test_every_field_of_the_proto_has_its_comment() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if not name.startswith(f"{PACKAGE}."):
            continue
        assert schema["description"], name
        for field, each in schema.get("properties", {}).items():
            assert each.get("description"), f"{name}.{field}"


def test_nothing_is_loaded_from_elsewhere() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for part in value.values() for each in references(part)]
        return [each for part in value for each in references(part)] if isinstance(value, list) else []

    assert references(DOCUMENT)
    assert all(each.startswith("#/components/") for each in references(DOCUMENT))


@pytest.mark.parametrize("method", [each for each in methods() if unary(each)], ids=lambda each: each.name)
def test_every_method_has_an_example_that_its_message_and_its_schema_accept(method: MethodDescriptor) -> None:
    content = DOCUMENT["paths"][path(method)]["post"]["requestBody"]["content"]["application/json"]
    assert content["example"] == EXAMPLES[f"{method.containing_service.name}/{method.name}"]
    assert problems(content["example"], content["schema"]) == []
    json_format.ParseDict(content["example"], message_factory.GetMessageClass(method.input_type)())


def test_the_schemas_refuse_a_wrong_type() -> None:
    content = DOCUMENT["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]
    assert problems(content["example"], content["schema"]) == []
    assert problems({**content["example"], "input": [[1, 2]]}, content["schema"])
    assert problems({**content["example"], "prompt": "x"}, content["schema"])
