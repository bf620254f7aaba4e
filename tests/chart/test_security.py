"""Every pod meets the `restricted` Pod Security Standard, and holds no more rights than it uses."""

from __future__ import annotations

from .conftest import CHART, Render, container


def test_every_pod_meets_the_restricted_standard(render: Render) -> None:
    rendered = render()
    for template in (rendered.worker, rendered.warmer):
        pod, own = template["spec"]["securityContext"], container(template)["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] == 65532
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}


def test_the_cluster_may_choose_uid_gid_and_fs_group(render: Render) -> None:
    rendered = render({}, "--values", str(CHART / "ci/openshift-values.yaml"))
    for template in (rendered.worker, rendered.warmer):
        assert {"runAsUser", "runAsGroup", "fsGroup"}.isdisjoint(template["spec"]["securityContext"])
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_worker_mounts_the_cache_read_only_and_the_warmer_does_not(render: Render) -> None:
    rendered = render()
    for template, read_only in ((rendered.worker, True), (rendered.warmer, None)):
        (cache,) = [one for one in container(template)["volumeMounts"] if one["name"] == "cache"]
        assert cache["mountPath"] == "/cache"
        assert cache.get("readOnly") is read_only
        (volume,) = [one for one in template["spec"]["volumes"] if one["name"] == "cache"]
        assert "readOnly" not in volume["persistentVolumeClaim"], "it would bind the claim's other users, too"


def test_only_the_warmer_has_a_token_and_with_it_may_write_events_and_read_two_objects(
    render: Render,
) -> None:
    rendered = render()
    assert rendered.worker["spec"]["automountServiceAccountToken"] is False
    assert all(one["automountServiceAccountToken"] is False for one in rendered.all("ServiceAccount"))
    rules = rendered.one("Role")["rules"]
    assert {(tuple(rule["resources"]), tuple(rule["verbs"])) for rule in rules} == {
        (("events",), ("create",)),
        (("jobs",), ("get",)),
        (("deployments",), ("get",)),
    }
    named = [name for rule in rules for name in rule.get("resourceNames", [])]
    assert named == [rendered.one("Job")["metadata"]["name"], rendered.one("Deployment")["metadata"]["name"]]
