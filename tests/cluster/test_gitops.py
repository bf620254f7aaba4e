"""The rendered chart under `kubectl apply`: it can be applied again, changed, pruned and taken over."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import OPERATORS
from tests.cluster.kubectl import Kubectl, eventually, run
from tests.cluster.release import CHART, FIRST, VALUES

# Together these render each built-in kind with each of its fields; all files would take a minute.
FILES: Final = ("autoscaling", "ingress", "mirror", "platform", "secured", "shell")
SMALL: Final = {"ConfigMap", "ServiceAccount", "Role", "RoleBinding"}
# Client-side apply always replaces a budget's selector, so kubectl calls it configured; nothing changes.
ALWAYS_CONFIGURED: Final = "poddisruptionbudget"
NO_PODS: Final = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-pods"},
    "spec": {"hard": {"pods": "0"}},
}


@pytest.fixture
def empty(kubectl: Kubectl) -> Iterator[Kubectl]:
    """Yield a further namespace in which no pod can start."""
    other = Kubectl(f"{kubectl.namespace}-drift", kubectl.kubeconfig)
    kubectl("create", "namespace", other.namespace)
    other.apply(NO_PODS)
    yield other
    kubectl.says("delete", "namespace", other.namespace, "--wait=false")


def _render(kubectl: Kubectl, name: str, *options: str) -> list[dict[str, Any]]:
    command = ["helm", "template", name, str(CHART), "--namespace", kubectl.namespace, "--no-hooks", *options]
    rendered = run(command)
    assert rendered.code == 0, rendered.err
    return [one for one in yaml.safe_load_all(rendered.out) if one]


def _specs(kubectl: Kubectl) -> dict[str, Any]:
    """Return the specs by kind and name. The generation of a Deployment also counts changes of annotations.

    Without the number of replicas that an autoscaler sets.
    """
    kinds = "deployments,jobs,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,ingresses"
    specs = {f"{one['kind']} {one['metadata']['name']}": one["spec"] for one in kubectl.items(kinds)}
    for name in [name for name in specs if name.startswith("HorizontalPodAutoscaler ")]:
        scaled = specs[name]["scaleTargetRef"]
        specs[f"{scaled['kind']} {scaled['name']}"].pop("replicas", None)
    return specs


def test_no_object_changes_when_it_is_applied_again(kubectl: Kubectl, empty: Kubectl) -> None:
    known = set(kubectl("api-versions").split())
    objects = [
        one
        for name in FILES
        for one in _render(
            empty,
            name,
            "--set=cache.storageClassName=-",
            f"--values={CHART / 'ci' / f'{name}-values.yaml'}",
            *OPERATORS,
        )
        if one["apiVersion"] in known and one["kind"] not in SMALL
    ]
    manifest = yaml.safe_dump_all(objects)
    empty("apply", "--filename=-", stdin=manifest)
    before = _specs(empty)

    again = empty("apply", "--filename=-", stdin=manifest).splitlines()
    assert [line for line in again if "unchanged" not in line and ALWAYS_CONFIGURED not in line] == []
    empty("apply", "--server-side", "--filename=-", stdin=manifest)  # a conflict would be an error
    assert empty("diff", "--server-side", "--filename=-", stdin=manifest) == ""
    assert _specs(empty) == before


@pytest.fixture
def applied(kubectl: Kubectl) -> Iterator[str]:
    """Yield the name of a release that kubectl applies."""
    name = "plain-qda-worker"
    yield name
    for kind in ("deploy,job,svc,cm,sa,role,rolebinding", "pvc"):
        kubectl.says("delete", kind, f"--selector=app.kubernetes.io/instance={name}", "--timeout=60s")
    kubectl.says("delete", "configmap", f"{name}-set")


def test_a_release_is_applied_changed_and_pruned_without_helm(
    kubectl: Kubectl, images: Sequence[str], applied: str
) -> None:
    """One test, because each step needs the state of the one before it."""

    def manifest(*options: str) -> str:
        return yaml.safe_dump_all(_render(kubectl, applied, f"--values={VALUES}", *images, *FIRST, *options))

    def apply(text: str, *options: str) -> str:
        return kubectl("apply", "--server-side", "--filename=-", *options, stdin=text)

    def apply_and_prune(text: str) -> str:
        options = ["--server-side", "--filename=-", "--prune", f"--applyset=configmaps/{applied}-set"]
        kubectl_apply = ["kubectl", *kubectl.options(), "apply", *options]
        said = run(["env", "KUBECTL_APPLYSET=true", *kubectl_apply], text)
        assert said.code == 0, said.err
        return said.out

    def jobs() -> dict[str, str]:
        found = kubectl.items("jobs", f"app.kubernetes.io/instance={applied}")
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}

    def worker() -> str:
        selector = f"app.kubernetes.io/instance={applied},app.kubernetes.io/component=worker"
        return " ".join(one["metadata"]["uid"] for one in kubectl.items("pods", selector))

    apply(manifest())
    kubectl("rollout", "status", f"deployment/{applied}", "--timeout=120s")
    first, serving = jobs(), worker()
    assert kubectl("diff", "--server-side", "--filename=-", stdin=manifest()) == ""

    elsewhere = ("--set=hub.endpoint=http://nowhere:9", "--set=hub.wheelBase=http://nowhere:9")
    apply(manifest(*elsewhere, "--set=cacheWarmer.backoffLimit=1", "--set=cacheWarmer.logLevel=debug"))
    assert jobs() == first, "a setting ran the warmer again"

    renamed = manifest(*elsewhere, "--set=cacheWarmer.resources.requests.cpu=99m")
    apply_and_prune(manifest())
    assert "pruned" in apply_and_prune(renamed)
    assert len(jobs()) == 1
    assert jobs().keys().isdisjoint(first), "without a network, on a complete cache"
    selector = f"app.kubernetes.io/instance={applied}"
    eventually(
        "a complete Job",
        lambda: all(one["status"].get("succeeded") for one in kubectl.items("jobs", selector)),
    )
    assert worker() == serving, "the warmer's values restarted the worker"
    assert kubectl.get("pvc", f"{applied}-cache")["status"]["phase"] == "Bound"
