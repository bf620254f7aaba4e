"""The objects of operators meet the schemas of their CustomResourceDefinitions, for each file of values in ci.

`operator_schemas.json` holds the schemas of `spec`, without descriptions, as of August 2026: Gateway API (standard
channel of 1.6.1), KEDA, Prometheus Operator and cert-manager, all under the Apache License 2.0. The API server applies
the schemas of the built-in kinds in the cluster tier.
"""

from pathlib import Path

import pytest

from tests.chart.conftest import CHART, OPERATORS, Render
from tests.chart.schemas import OPERATORS as SCHEMAS
from tests.chart.schemas import problems


@pytest.mark.parametrize("path", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_object_of_an_operator_meets_its_schema(render: Render, path: Path) -> None:
    for one in render({}, "--values", str(path), *OPERATORS).objects:
        schema = SCHEMAS.get(f"{one['apiVersion']} {one['kind']}")
        if schema is not None:
            assert list(problems(one["spec"], schema, one["kind"])) == []


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
    assert sorted(problems(wrong, schema, "spec")) == [
        "spec.maxReplicaCount: not of type integer",
        "spec.maxReplicas: unknown",
        "spec.scaleTargetRef: required",
    ]
