"""Every pod meets the `restricted` Pod Security Standard, and has no more permissions than it uses."""

import re

import yaml

from tests.chart.conftest import CHART, Render, Rendered, container


def test_every_pod_meets_the_restricted_standard(render: Render) -> None:
    rendered = render()
    more = render({"cacheWarmer": {"shell": True, "periodicCheck": {"enabled": True}}})
    shell = more.one("Deployment", "-shell")["spec"]["template"]
    check = more.one("CronJob")["spec"]["jobTemplate"]["spec"]["template"]
    for template in (rendered.worker, rendered.warmer, shell, check, rendered.one("Pod", "-test")):
        pod, own = template["spec"]["securityContext"], container(template)["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] == 65532
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}


def test_every_pod_can_run_images_by_digest(render: Render) -> None:
    digests = {"qda-worker": "sha256:" + "a" * 64, "qda-cache-warmer": "sha256:" + "b" * 64}
    more = {"shell": True, "periodicCheck": {"enabled": True}}
    rendered = render(
        {
            "worker": {"image": {"digest": digests["qda-worker"]}},
            "cacheWarmer": {"image": {"digest": digests["qda-cache-warmer"]}, **more},
        }
    )
    found = re.findall(r"image: (\S+)", yaml.safe_dump_all(rendered.objects))
    assert len(found) == 5, "worker, test, Job, shell, periodic check"
    assert set(found) == {f"{name}@{digest}" for name, digest in digests.items()}


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


def test_only_the_warmer_has_a_token_and_its_role_has_the_documented_rules(render: Render) -> None:
    rendered = render()
    assert rendered.worker["spec"]["automountServiceAccountToken"] is False
    assert all(one["automountServiceAccountToken"] is False for one in rendered.all("ServiceAccount"))
    assert rights(rendered) == {
        ("events", "create", ""),
        ("leases", "create", ""),
        ("leases", "get", "rel-qda-worker-cache-writer"),
        ("leases", "update", "rel-qda-worker-cache-writer"),
        ("persistentvolumeclaims", "get", "rel-qda-worker-cache"),
        ("jobs", "get", rendered.one("Job")["metadata"]["name"]),
        ("deployments", "get", rendered.one("Deployment")["metadata"]["name"]),
    }


def test_the_shell_may_also_read_the_deployments_of_its_namespace(render: Render) -> None:
    more = rights(render({"cacheWarmer": {"shell": True}})) - rights(render())
    assert more == {("deployments", "get", "")}


def rights(rendered: Rendered) -> set[tuple[str, str, str]]:
    """Return each permission as resource, verb and name; an empty name means any."""
    return {
        (resource, verb, name)
        for rule in rendered.one("Role")["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }
