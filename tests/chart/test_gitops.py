"""The manifests in docs/gitops.md meet the schemas of Argo CD and Flux, and their values are those of the chart."""

import re
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import ROOT, Object, Render
from tests.chart.schemas import GITOPS, object_problems

_TEXT: Final = (ROOT / "docs" / "gitops.md").read_text("utf-8")
MANIFESTS: Final[list[Object]] = [
    one for block in re.findall(r"```yaml\n(.*?)```", _TEXT, re.DOTALL) for one in yaml.safe_load_all(block)
]


def _one(kind: str) -> Any:
    (found,) = [one for one in MANIFESTS if one["kind"] == kind]
    return found


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: one["kind"])
def test_each_manifest_meets_its_schema(manifest: Object) -> None:
    assert object_problems(manifest) == []


def test_there_is_a_manifest_of_each_kind() -> None:
    assert {f"{one['apiVersion']} {one['kind']}" for one in MANIFESTS} == set(GITOPS)


def test_a_wrong_field_of_a_manifest_is_found() -> None:
    wrong = {**_one("HelmRelease"), "spec": {**_one("HelmRelease")["spec"], "intervall": "5m"}}
    assert object_problems(wrong) == ["spec.intervall: unknown"]


@pytest.mark.parametrize("kind", ["Application", "HelmRelease"])
def test_the_values_of_the_manifests_are_accepted(render: Render, kind: str) -> None:
    spec = _one(kind)["spec"]
    values = spec["values"] if kind == "HelmRelease" else spec["source"]["helm"]["valuesObject"]
    rendered = render(values)
    assert rendered.worker["spec"]["containers"][0]["image"].startswith("registry.example.org/team/")
    hooks = [one for one in rendered.objects if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    assert len(hooks) == (kind == "HelmRelease")
    names = (
        {one["targetPath"] for one in spec["valuesFrom"]}
        if kind == "HelmRelease"
        else {one["name"] for one in spec["source"]["helm"]["fileParameters"]}
    )
    assert names == {"catalog", "catalogLock"}


def test_the_timeouts_exceed_the_deadline_of_the_warmer(render: Render) -> None:
    deadline = render().one("Job")["spec"]["activeDeadlineSeconds"]
    for kind in ("HelmRelease", "Kustomization"):
        hours, minutes = re.fullmatch(r"(\d+)h(\d+)m", _one(kind)["spec"]["timeout"]).groups()  # type: ignore[union-attr]
        assert int(hours) * 3600 + int(minutes) * 60 > deadline


def test_the_labels_in_the_commands_are_those_of_the_job(render: Render) -> None:
    selector = re.search(r"kubectl delete jobs -l (\S+)", _TEXT)
    assert selector is not None
    labels = render().one("Job")["metadata"]["labels"]
    for pair in selector[1].replace("=worker", "=rel").split(","):
        name, _, value = pair.partition("=")
        assert labels[name] == value
