"""The objects of operators meet the schemas of their CustomResourceDefinitions, for each file of values in ci.

`operator_schemas.json` holds the schemas of `spec`, without descriptions, as of August 2026: Gateway API (standard
channel), KEDA, Prometheus Operator and cert-manager, all under the Apache License 2.0. The API server applies the
schemas of the built-in kinds in the cluster tier.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chart.conftest import CHART, OPERATORS, Object, Render

SCHEMAS: Final[dict[str, Object]] = json.loads(
    (Path(__file__).parent / "operator_schemas.json").read_text("utf-8")
)
TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def _problems(value: Any, schema: Object, path: str) -> Iterator[str]:
    """Yield what of a value the API server would refuse, or drop as unknown."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield f"{path}: neither integer nor string"
        return
    if not isinstance(value, TYPES[schema["type"]]):
        yield f"{path}: not of type {schema['type']}"
    elif isinstance(value, dict):
        yield from _object_problems(value, schema, path)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _problems(item, schema["items"], f"{path}[{number}]")
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    elif "pattern" in schema and not re.search(schema["pattern"], str(value)):
        yield f"{path}: {value!r} does not match {schema['pattern']}"


def _object_problems(value: Object, schema: Object, path: str) -> Iterator[str]:
    for name in set(schema.get("required", ())) - set(value):
        yield f"{path}.{name}: required"
    for name, item in value.items():
        inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
        if inner:
            yield from _problems(item, inner, f"{path}.{name}")
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}.{name}: unknown"


@pytest.mark.parametrize("path", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_object_of_an_operator_meets_its_schema(render: Render, path: Path) -> None:
    for one in render({}, "--values", str(path), *OPERATORS).objects:
        schema = SCHEMAS.get(f"{one['apiVersion']} {one['kind']}")
        if schema is not None:
            assert list(_problems(one["spec"], schema, one["kind"])) == []


def test_the_files_of_ci_have_an_object_of_each_schema(render: Render) -> None:
    seen = {
        f"{one['apiVersion']} {one['kind']}"
        for path in (CHART / "ci").glob("*.yaml")
        for one in render({}, "--values", str(path), *OPERATORS).objects
    }
    assert set(SCHEMAS) <= seen


def test_the_check_finds_unknown_missing_and_wrong_fields() -> None:
    schema = SCHEMAS["keda.sh/v1alpha1 ScaledObject"]
    wrong = {"maxReplicas": 3, "maxReplicaCount": "3", "triggers": []}
    assert sorted(_problems(wrong, schema, "spec")) == [
        "spec.maxReplicaCount: not of type integer",
        "spec.maxReplicas: unknown",
        "spec.scaleTargetRef: required",
    ]
