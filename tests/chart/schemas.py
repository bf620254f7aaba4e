"""Validation of rendered objects as the API server does it, with unknown fields as errors.

`kubernetes_schemas.json` holds the built-in kinds: the OpenAPI v3 documents of the API server of Kubernetes 1.34
without descriptions, status and the fields of metadata that the server sets. `newer` lists the fields of a definition
that Kubernetes 1.27 does not know, as the Python client 27.2.0 shows; an object with one of them does not work on the
oldest version that the chart supports. `operator_schemas.json` and `gitops_schemas.json` hold `spec` of the
CustomResourceDefinitions of operators, Argo CD and Flux; `skaffold_schema.json` is that of skaffold/v4beta13, as its
project publishes it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.chart.conftest import Object

_FOLDER: Final = Path(__file__).parent
KUBERNETES: Final[Object] = json.loads((_FOLDER / "kubernetes_schemas.json").read_text("utf-8"))
OPERATORS: Final[dict[str, Object]] = json.loads((_FOLDER / "operator_schemas.json").read_text("utf-8"))
GITOPS: Final[dict[str, Object]] = json.loads((_FOLDER / "gitops_schemas.json").read_text("utf-8"))
SKAFFOLD: Final[dict[str, Object]] = json.loads((_FOLDER / "skaffold_schema.json").read_text("utf-8"))
_DEFINITIONS: Final[dict[str, Object]] = {**KUBERNETES["definitions"], **SKAFFOLD}
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
_QUANTITY: Final = re.compile(r"[+-]?(\d+|\d+\.\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def object_problems(one: Object, *, oldest: bool = False) -> list[str]:
    """Return what the API server would refuse or drop in an object. A kind without a schema is a problem too.

    Args:
        one: the object.
        oldest: whether fields that the oldest supported version does not know are problems.
    """
    kind = f"{one.get('apiVersion')} {one.get('kind')}"
    found = list(_metadata_problems(one.get("metadata", {})))
    if kind in KUBERNETES["kinds"]:
        return found + list(problems(one, {"$ref": KUBERNETES["kinds"][kind]}, one["kind"], oldest=oldest))
    schema = {**OPERATORS, **GITOPS}.get(kind)
    if schema is None:
        return [*found, f"{kind}: no schema"]
    unknown = set(one) - {"apiVersion", "kind", "metadata", "spec"}
    found += [f"{one['kind']}.{name}: unknown" for name in sorted(unknown)]
    metadata = {"$ref": "meta.v1.ObjectMeta"}
    found += problems(one["metadata"], metadata, "metadata")
    return found + list(problems(one.get("spec"), schema, "spec"))


def _metadata_problems(metadata: Object) -> Iterator[str]:
    if not _NAME.fullmatch(str(metadata.get("name"))):
        yield f"metadata.name: {metadata.get('name')!r}"
    for name, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            yield f"metadata.labels.{name}: {value!r}"


def problems(value: Any, schema: Object, path: str, *, oldest: bool = False) -> Iterator[str]:
    """Yield what of a value the API server would refuse, or drop as unknown."""
    if "$ref" in schema:
        schema = _DEFINITIONS[schema["$ref"]]
    if "anyOf" in schema:
        # The mistakes of the alternative that fits best: the fewest and, of as many, those that lie deepest.
        found = [[*problems(value, one, path, oldest=oldest)] for one in schema["anyOf"]]
        yield from min(found, key=lambda some: (len(some), -sum(map(len, some))))
    elif "type" not in schema:
        yield from _untyped_problems(value, schema, path)
    elif not _is_of_type(value, schema["type"]):
        yield f"{path}: not of type {schema['type']}"
    elif isinstance(value, dict):
        yield from _field_problems(value, schema, path, oldest)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from problems(item, schema["items"], f"{path}[{number}]", oldest=oldest)
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    elif "pattern" in schema and not re.search(schema["pattern"], str(value)):
        yield f"{path}: {value!r} does not match {schema['pattern']}"


def _untyped_problems(value: Any, schema: Object, path: str) -> Iterator[str]:
    """Check the types of Kubernetes that may be a number or a string; all others may be anything."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if schema.get("format") == "quantity":
        if not is_number and not (isinstance(value, str) and _QUANTITY.fullmatch(value)):
            yield f"{path}: {value!r} is not a quantity"
    elif schema.get("x-kubernetes-int-or-string") and not (is_number or isinstance(value, str)):
        yield f"{path}: neither integer nor string"


def _is_of_type(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _field_problems(value: Object, schema: Object, path: str, oldest: bool) -> Iterator[str]:
    for name in set(schema.get("required", ())) - set(value):
        yield f"{path}.{name}: required"
    for name, item in value.items():
        inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", False))
        if oldest and name in schema.get("newer", ()):
            yield f"{path}.{name}: unknown to the oldest version"
        elif isinstance(inner, dict):
            yield from problems(item, inner, f"{path}.{name}", oldest=oldest)
        elif not inner and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}.{name}: unknown"
