"""Every object that a file of ci renders meets its schema, with unknown fields and kinds as errors."""

import copy
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chart.conftest import CHART, OPERATORS, Object, Render
from tests.chart.schemas import KUBERNETES, object_problems

FILES: Final = sorted((CHART / "ci").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_object_meets_its_schema(render: Render, path: Path) -> None:
    objects = render({}, "--values", str(path), *OPERATORS).objects
    assert {one["kind"] for one in objects} >= {"Deployment", "Service"}
    found = {f"{one['kind']} {one['metadata']['name']}": object_problems(one) for one in objects}
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_the_objects_need_no_field_that_the_oldest_supported_version_lacks(render: Render) -> None:
    """What users give in values of their own may need a newer version."""
    assert "Requires Kubernetes 1.27" in (CHART / "Chart.yaml").read_text("utf-8")
    for path in FILES:
        for one in render({}, "--values", str(path), *OPERATORS).objects:
            assert object_problems(one, oldest=True) == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "problem"),
    [
        ("Deployment", "spec.replica", 1, "Deployment.spec.replica: unknown"),
        ("Deployment", "spec.replicas", "1", "Deployment.spec.replicas: not of type integer"),
        ("Deployment", "spec.replicas", True, "Deployment.spec.replicas: not of type integer"),
        ("Deployment", "spec.selector", None, "Deployment.spec.selector: not of type object"),
        ("Deployment", "spec.template.spec.dnsPolicy", "Defalt", "is none of"),
        ("Deployment", "spec.template.spec.enableServiceLinks", "false", "not of type boolean"),
        ("Deployment", "spec.template.metadata.labels.a", 1, "labels.a: not of type string"),
        ("Deployment", "kind", "Deploy", "apps/v1 Deploy: no schema"),
        ("Deployment", "apiVersion", "apps/v1beta1", "apps/v1beta1 Deployment: no schema"),
        ("Deployment", "metadata.name", "Not_A_Name", "metadata.name: 'Not_A_Name'"),
        ("Deployment", "metadata.labels.a", "no spaces", "metadata.labels.a: 'no spaces'"),
        ("PersistentVolumeClaim", "spec.resources.requests.storage", "16 GB", "'16 GB' is not a quantity"),
        ("Service", "spec.ports", [{}], "Service.spec.ports[0].port: required"),
        ("ConfigMap", "data.a", {}, "ConfigMap.data.a: not of type string"),
    ],
)
def test_a_sabotaged_object_is_refused(
    render: Render, kind: str, path: str, value: Any, problem: str
) -> None:
    broken = _changed(render().all(kind)[0], path, value)
    (found,) = object_problems(broken)
    assert problem in found


def test_a_field_of_a_newer_version_is_refused_for_the_oldest(render: Render) -> None:
    newer = _changed(render().one("Deployment"), "spec.template.spec.hostnameOverride", "a")
    assert object_problems(newer) == []
    assert object_problems(newer, oldest=True) == [
        "Deployment.spec.template.spec.hostnameOverride: unknown to the oldest version"
    ]


def test_every_reference_of_the_schemas_resolves() -> None:
    def references(part: Any) -> set[str]:
        if isinstance(part, list):
            return set().union(*map(references, part))
        if not isinstance(part, dict):
            return set()
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(references, part.values()))

    used = references(KUBERNETES["definitions"]) | set(KUBERNETES["kinds"].values())
    assert used <= set(KUBERNETES["definitions"])


def _changed(one: Object, path: str, value: Any) -> Object:
    result = copy.deepcopy(one)
    part: Any = result
    *above, last = path.split(".")
    for name in above:
        part = part.setdefault(name, {})
    part[last] = value
    return result
