"""The cache as an image volume: no claim and no warmer, and a clear refusal on older clusters."""

from typing import Final

import pytest

from tests.chart.conftest import IMAGE_VOLUMES, OPERATORS, Object, Refused, Render, container, environment
from tests.chart.schemas import object_problems

REFERENCE: Final = f"registry.example.org:5000/team/models@sha256:{'a' * 64}"
CACHE: Final[Object] = {"cache": {"image": {"reference": REFERENCE}}}


def test_the_image_is_mounted_as_the_cache_without_a_claim_and_a_warmer(render: Render) -> None:
    rendered = render({**CACHE, "image": {"pullSecrets": [{"name": "pull"}]}}, IMAGE_VOLUMES)

    kinds = {one["kind"] for one in rendered.objects}
    assert kinds.isdisjoint({"PersistentVolumeClaim", "Job", "CronJob", "Role", "RoleBinding"})
    spec = rendered.worker["spec"]
    (volume,) = [one for one in spec["volumes"] if one["name"] == "cache"]
    assert volume == {"name": "cache", "image": {"reference": REFERENCE, "pullPolicy": "IfNotPresent"}}
    (mount,) = [one for one in container(rendered.worker)["volumeMounts"] if one["name"] == "cache"]
    assert mount == {"name": "cache", "mountPath": "/cache", "readOnly": True}
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert environment(rendered.worker)["QDA_CACHE"] == "/cache"
    assert "qda-worker/claim" not in rendered.worker["metadata"]["labels"]
    assert [problem for one in rendered.objects for problem in object_problems(one)] == []


def test_workers_with_an_image_volume_run_on_any_node(render: Render) -> None:
    values = {**CACHE, "worker": {"replicas": 3}}
    assert "podAffinity" not in str(render(values, IMAGE_VOLUMES).worker["spec"].get("affinity"))


def test_the_remedy_of_a_damaged_cache_is_another_image(render: Render) -> None:
    variables = environment(render(CACHE, IMAGE_VOLUMES).worker)
    for name in ("QDA_WARM_COMMAND", "QDA_REPAIR_COMMAND"):
        assert variables[name].endswith("--set cache.image.reference=IMAGE_OF_A_COMPLETE_CACHE")
    assert "QDA_IMPORT_COMMAND" not in variables


def test_the_pull_policy_is_set(render: Render) -> None:
    values = {"cache": {"image": {"reference": "models:one", "pullPolicy": "Always"}}}
    assert "'pullPolicy': 'Always'" in str(render(values, IMAGE_VOLUMES).worker["spec"]["volumes"])


@pytest.mark.parametrize("reference", ["123", "null", "true"])
def test_a_reference_stays_a_text(render: Render, reference: str) -> None:
    worker = render({"cache": {"image": {"reference": reference}}}, IMAGE_VOLUMES).worker
    (image,) = [one["image"] for one in worker["spec"]["volumes"] if one["name"] == "cache"]
    assert image["reference"] == reference


@pytest.mark.parametrize("version", ["1.27.0", "1.34.3"])
def test_an_older_cluster_is_refused_with_what_to_do_instead(render: Render, version: str) -> None:
    with pytest.raises(Refused) as refused:
        render(CACHE, f"--kube-version={version}")
    assert f"need Kubernetes 1.35 or newer, and the cluster has v{version}" in str(refused.value)
    assert "set cache.inImage=true" in str(refused.value)


@pytest.mark.parametrize("version", ["1.35.0", "1.35.1-eks-1234567", "1.36.0+k3s1"])
def test_newer_clusters_and_those_of_vendors_are_accepted(render: Render, version: str) -> None:
    assert render(CACHE, f"--kube-version={version}", *OPERATORS).one("Deployment")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"cache": {"inImage": True}}, "unset one of them"),
        (
            {"cache": {"existingClaim": "theirs"}},
            "cache.image.reference is set, but cache.existingClaim is set",
        ),
        ({"cacheWarmer": {"shell": True}}, "set cacheWarmer.shell=false, or cache.image.reference="),
        (
            {"cacheWarmer": {"periodicCheck": {"enabled": True}}},
            "set cacheWarmer.periodicCheck.enabled=false",
        ),
    ],
)
def test_values_that_contradict_an_image_are_refused(render: Render, values: Object, sentence: str) -> None:
    cache = {**CACHE["cache"], **values.get("cache", {})}
    with pytest.raises(Refused) as refused:
        render({**values, "cache": cache}, IMAGE_VOLUMES)
    assert sentence in str(refused.value)
