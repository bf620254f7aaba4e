"""On which nodes the pods may run, and where the models come from: a claim, or the images."""

from typing import Final

from tests.chart.conftest import Object, Render, container, environment

IN_IMAGE: Final[Object] = {"cache": {"inImage": True}}


def test_models_in_the_image_need_no_claim_no_warmer_and_no_access_mode(render: Render) -> None:
    values = {**IN_IMAGE, "worker": {"replicas": 3, "models": ["of-its-own-catalog"]}}
    rendered = render(values)

    kinds = {one["kind"] for one in rendered.objects}
    assert kinds.isdisjoint({"PersistentVolumeClaim", "Job", "Role", "RoleBinding", "ConfigMap"})
    assert [volume["name"] for volume in rendered.worker["spec"]["volumes"]] == ["tmp"]
    assert [mount["mountPath"] for mount in container(rendered.worker)["volumeMounts"]] == ["/tmp"]
    assert "affinity" not in rendered.worker["spec"]
    assert "qda-worker/claim" not in rendered.worker["metadata"]["labels"]
    variables = environment(rendered.worker)
    assert variables["QDA_CACHE"] == "/cache"
    assert variables["QDA_MODELS"] == "of-its-own-catalog"
    assert "QDA_CATALOG" not in variables, "the image's own"
    assert "BAKE_MODELS" in variables["QDA_WARM_COMMAND"]


def test_a_read_only_claim_allows_workers_on_any_node(render: Render) -> None:
    values = {"cache": {"accessModes": ["ReadOnlyMany"]}, "cacheWarmer": {"enabled": False}}
    rendered = render({**values, "worker": {"replicas": 2}})
    assert "affinity" not in rendered.worker["spec"]
    variables = environment(rendered.worker)
    for name in ("QDA_WARM_COMMAND", "QDA_REPAIR_COMMAND"):
        assert variables[name].endswith("--cache WRITABLE_MOUNT_OF_THE_VOLUME"), "no shell could mount it"
    assert "QDA_IMPORT_COMMAND" not in variables


def test_a_claim_that_is_written_by_one_node_and_read_by_many_keeps_its_pods_together(render: Render) -> None:
    rendered = render({"cache": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}})
    for template in (rendered.worker, rendered.warmer):
        assert "podAffinity" in template["spec"]["affinity"]


def test_the_remedy_of_an_incomplete_cache_names_the_warmer_and_the_import(render: Render) -> None:
    variables = environment(render({}).worker)
    upgrade = "helm upgrade rel CHART --namespace texts --reset-then-reuse-values --set "
    # Kubernetes makes `$(` of `$$(`. The time is a number that was not used before.
    assert variables["QDA_WARM_COMMAND"] == (
        f"{upgrade}cacheWarmer.enabled=true,cacheWarmer.rerun=$$(date +%s)"
    )
    shell = "deploy/rel-qda-worker-shell"
    first = f"{upgrade}cacheWarmer.shell=true && kubectl --namespace texts rollout status {shell} && "
    in_shell = f"{first}kubectl --namespace texts exec"
    assert variables["QDA_IMPORT_COMMAND"] == f"{in_shell} -i {shell} -- cache-warmer import - < ARCHIVE"
    assert variables["QDA_REPAIR_COMMAND"] == f"{in_shell} {shell} -- cache-warmer repair"


def test_a_warmer_that_is_switched_on_does_not_restart_the_workers(render: Render) -> None:
    assert render({"cacheWarmer": {"enabled": False}}).worker == render({}).worker


def test_the_shell_of_an_import_does_not_restart_the_workers(render: Render) -> None:
    before = render({"cacheWarmer": {"enabled": False}})
    during = render({"cacheWarmer": {"enabled": False, "shell": True}})
    worker = during.one("Deployment", "qda-worker")["spec"]["template"]
    assert worker == before.worker
