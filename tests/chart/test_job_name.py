"""Which values create another warmer's Job, change it in place, or restart the workers.

Every value of values.yaml is changed to another one. A Job's pod template is immutable, so a value that is in it
renames the Job; all others must leave it alone. The lists here are complete: a new value that renames the Job, or does
not do what its section promises, fails.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.chart.conftest import IMAGE_VOLUMES, OPERATORS, ROOT, Object, Render, Rendered
from tests.chart.value_samples import Change, changes

# Their content is in the pod template of the Job.
RENAMES: Final = {
    # The names, and so the labels, of all objects.
    "nameOverride",
    "fullnameOverride",
    # What is in the cache, and the intention to run again.
    "catalog",
    "catalogLock",
    "cacheWarmer.rerun",
    "cache.existingClaim",
    # The program.
    "image.registry",
    "image.tag",
    "image.pullPolicy",
    "image.pullSecrets",
    "cacheWarmer.image.repository",
    "cacheWarmer.image.tag",
    "cacheWarmer.image.digest",
    # Names of Secrets and ConfigMaps that a pod refers to; their content may change.
    "hub.tokenSecret",
    "hub.tokenSecretKey",
    "hub.caConfigMap",
    "hub.caConfigMapKey",
    "hub.caSecret",
    "hub.caSecretKey",
    # The pod.
    "cache.accessModes",
    "podSecurityContext.runAsNonRoot",
    "podSecurityContext.runAsUser",
    "podSecurityContext.runAsGroup",
    "podSecurityContext.fsGroup",
    "podSecurityContext.fsGroupChangePolicy",
    "podSecurityContext.seccompProfile.type",
    "containerSecurityContext.allowPrivilegeEscalation",
    "containerSecurityContext.readOnlyRootFilesystem",
    "containerSecurityContext.capabilities.drop",
    "cacheWarmer.resources.requests.cpu",
    "cacheWarmer.resources.requests.memory",
    "cacheWarmer.resources.limits.memory",
    "cacheWarmer.prepare.enabled",
    "cacheWarmer.prepare.sizeLimit",
    "cacheWarmer.prepare.resources.requests.cpu",
    "cacheWarmer.prepare.resources.requests.memory",
    "cacheWarmer.prepare.resources.limits.memory",
    "cacheWarmer.podAnnotations",
    "cacheWarmer.podLabels",
    "cacheWarmer.priorityClassName",
    "cacheWarmer.runtimeClassName",
    "cacheWarmer.hostAliases",
    "cacheWarmer.dnsPolicy",
    "cacheWarmer.dnsConfig",
    "cacheWarmer.nodeSelector",
    "cacheWarmer.tolerations",
    "cacheWarmer.affinity",
    "cacheWarmer.extraEnv",
    "cacheWarmer.extraEnvFrom",
    "cacheWarmer.extraVolumes",
    "cacheWarmer.extraVolumeMounts",
    "cacheWarmer.initContainers",
    "cacheWarmer.tmpSizeLimit",
    "cacheWarmer.serviceAccount.create",
    "cacheWarmer.serviceAccount.name",
}
# Without a Job.
REMOVES: Final = {"cache.inImage", "cache.image.reference", "cacheWarmer.enabled"}
# Values of a release that never has a Job.
WITHOUT: Final = {"cache.image.pullPolicy"}
# Fields of a Job that Kubernetes lets change.
CHANGES: Final = {
    "commonLabels",
    "cacheWarmer.backoffLimit",
    "cacheWarmer.activeDeadlineSeconds",
    "cacheWarmer.ttlSecondsAfterFinished",
    "cacheWarmer.jobAnnotations",
}
# Checks of the chart without an effect on the objects.
CHECKS: Final = {"cache.validateStorageClass", "cache.sameNode", "lookupPods"}
# They change what Kubernetes lets nobody change, so they need a new object: see docs/gitops.md.
REPLACES: Final = {
    "cache.accessModes": {"PersistentVolumeClaim"},
    "cache.storageClassName": {"PersistentVolumeClaim"},
    "cache.volumeName": {"PersistentVolumeClaim"},
    "cache.selector": {"PersistentVolumeClaim"},
    "cache.dataSource": {"PersistentVolumeClaim"},
}
IMMUTABLE: Final[dict[str, tuple[str, ...]]] = {
    "Deployment": ("spec.selector",),
    "Job": (
        "spec.template",
        "spec.podFailurePolicy",
        "spec.selector",
        "spec.completions",
        "spec.completionMode",
    ),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.storageClassName",
        "spec.volumeName",
        "spec.selector",
        "spec.dataSource",
    ),
    "RoleBinding": ("roleRef",),
    "Service": ("spec.clusterIP",),
}
Pair = tuple[Change, Rendered, Rendered]
# The first test renders the chart 240 times: 20 s on an idle machine with two cores.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def pairs(render: Render) -> list[Pair]:
    """Return the release before and after the change of each value."""
    wanted = changes()
    values = [change.after for change in wanted]
    for change in wanted:
        if change.before not in values:  # most values share one
            values.append(change.before)
    with ThreadPoolExecutor() as pool:
        rendered = list(pool.map(lambda one: render(one, *OPERATORS, IMAGE_VOLUMES), values))
    return [
        (change, rendered[values.index(change.before)], after)
        for change, after in zip(wanted, rendered, strict=False)
    ]


def _job(rendered: Rendered) -> Object | None:
    return next(iter(rendered.all("Job")), None)


def _effect(before: Rendered, after: Rendered) -> str:
    """Return what happens to the Job."""
    first, second = _job(before), _job(after)
    assert first is not None
    if second is None:
        return "removes"
    if first["metadata"]["name"] != second["metadata"]["name"]:
        return "renames"
    return "keeps" if first == second else "changes"


def test_the_job_is_renamed_by_the_declared_values_alone(pairs: list[Pair]) -> None:
    found: dict[str, set[str]] = {"renames": set(), "removes": set(), "changes": set(), "keeps": set()}
    for change, before, after in pairs:
        if change.path in WITHOUT:
            assert _job(before) is _job(after) is None
        else:
            found[_effect(before, after)].add(change.path)
    assert found["renames"] == RENAMES
    assert found["removes"] == REMOVES
    assert found["changes"] == CHANGES


def test_each_change_has_an_effect(pairs: list[Pair]) -> None:
    """Otherwise the other tests would prove nothing about the value."""
    assert {change.path for change, before, after in pairs if before.objects == after.objects} == CHECKS


def test_a_value_of_the_warmer_never_restarts_a_worker_and_one_of_the_worker_never_touches_the_job(
    pairs: list[Pair],
) -> None:
    for change, before, after in pairs:
        if change.path.startswith(("cacheWarmer.", "hub.")):
            assert _worker(after) == _worker(before), change.path
        if change.path.startswith("worker."):
            assert _job(after) == _job(before), change.path


def _worker(rendered: Rendered) -> Any:
    (found,) = [one for one in rendered.all("Deployment") if not one["metadata"]["name"].endswith("-shell")]
    return found


def _field(one: Object, path: str) -> Any:
    value: Any = one
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def test_nothing_immutable_is_changed_in_an_object_that_stays(pairs: list[Pair]) -> None:
    for change, before, after in pairs:
        there = {(one["kind"], one["metadata"]["name"]): one for one in before.objects}
        changed = {
            one["kind"]
            for one in after.objects
            for field in IMMUTABLE.get(one["kind"], ())
            if (former := there.get((one["kind"], one["metadata"]["name"]))) is not None
            and _field(former, field) != _field(one, field)
        }
        assert changed <= REPLACES.get(change.path, set()), change.path
        assert not [one for one in after.all("ConfigMap") if one.get("immutable")]


def test_the_docs_list_the_values_that_rename_the_job() -> None:
    text = (ROOT / "docs" / "gitops.md").read_text("utf-8")
    listed = text.partition("<!-- renames: begin -->")[2].partition("<!-- renames: end -->")[0]
    prefixes = set(re.findall(r"`([A-Za-z.*]+)`", listed))

    def is_listed(path: str) -> bool:
        return any(path == one or (one.endswith(".*") and path.startswith(one[:-1])) for one in prefixes)

    assert {change.path for change in changes() if is_listed(change.path)} == RENAMES


@pytest.mark.parametrize(
    "hub",
    [
        {"endpoint": "https://hub.example.org"},
        {"wheelBase": "https://hub.example.org/wheels"},
        {"proxy": "http://proxy:1", "noProxy": "intranet"},
        {"caBundle": "PEM"},
    ],
    ids=lambda hub: next(iter(hub)),
)
def test_a_way_to_the_hub_that_is_set_for_the_first_time_keeps_the_job(render: Render, hub: Object) -> None:
    first, second = render(), render({"hub": hub})
    assert second.one("Job") == first.one("Job")
    assert second.warmer_settings != first.warmer_settings


def test_the_format_and_the_order_of_values_do_not_rename_the_job(render: Render) -> None:
    first = {"cacheWarmer": {"podLabels": {"a": "1", "b": "2"}}}
    second = {"cacheWarmer": {"podLabels": {"b": "2", "a": "1"}}}
    assert _name(render(first)) == _name(render(second))


def test_an_upgrade_and_a_new_version_of_the_chart_do_not_run_the_warmer_again(render: Render) -> None:
    """The version of the chart is in labels of objects alone; without a tag it selects the image."""
    assert _name(render({}, "--is-upgrade")) == _name(render())
    rendered = render()
    for template in (rendered.worker, rendered.warmer):
        assert {"helm.sh/chart", "app.kubernetes.io/version"}.isdisjoint(template["metadata"]["labels"])


def test_two_renderings_are_equal(render: Render) -> None:
    for change in changes()[:1]:
        assert render(change.before, *OPERATORS, IMAGE_VOLUMES) == render(
            change.before, *OPERATORS, IMAGE_VOLUMES
        )


def test_names_stay_within_the_limits_of_kubernetes(render: Render) -> None:
    rendered = render({"fullnameOverride": "a" * 63})
    for one in rendered.objects:
        assert len(one["metadata"]["name"]) <= 63
    assert _name(rendered).endswith(_name(render({"fullnameOverride": "a" * 63}))[-8:])


def test_a_large_number_is_written_in_digits_however_it_is_given(render: Render) -> None:
    """Helm reads a number of a file as a float, one of `--set` as an integer, and keeps it as a float."""
    large = {"rerun": 20261126, "activeDeadlineSeconds": 2592000, "ttlSecondsAfterFinished": 2592000}
    values = {"cacheWarmer": large, "worker": {"maxCalls": 1000000, "progressDeadlineSeconds": 2592000}}
    options = [f"--set={part}.{name}={value}" for part, own in values.items() for name, value in own.items()]

    assert render(values).objects == render({}, *options).objects


def _name(rendered: Rendered) -> str:
    name = rendered.one("Job")["metadata"]["name"]
    assert isinstance(name, str)
    return name
