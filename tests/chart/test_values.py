"""Each value of values.yaml does what its comment says."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import CHART, Object, Refused, Render, Rendered, container, environment

TERM: Final = {
    "labelSelector": {"matchLabels": {"qda-worker/claim": "rel-qda-worker-cache"}},
    "topologyKey": "kubernetes.io/hostname",
}

# For each value, another one than its default, and a text that the rendered objects then hold and otherwise do not.
EFFECTS: Final[dict[str, tuple[Any, str]]] = {
    "nameOverride": ("texts", "rel-texts"),
    "fullnameOverride": ("whole", "name: whole"),
    "commonLabels": ({"team": "texts"}, "team: texts"),
    "extraObjects": ([{"kind": "Secret", "metadata": {"name": "further"}}], "name: further"),
    "image.registry": ("registry.example.org/team", "image: registry.example.org/team/qda-worker:0"),
    "image.tag": ("v9", "qda-cache-warmer:v9"),
    "image.pullPolicy": ("Always", "imagePullPolicy: Always"),
    "image.pullSecrets": ([{"name": "pull-it"}], "name: pull-it"),
    "cache.existingClaim": ("theirs", "claimName: theirs"),
    "cache.size": ("77Gi", "storage: 77Gi"),
    "cache.storageClassName": ("fast", "storageClassName: fast"),
    "cache.accessModes": (["ReadWriteMany"], "- ReadWriteMany"),
    "cache.annotations": ({"a/claim": "1"}, "a/claim"),
    "cache.volumeName": ("by-hand", "volumeName: by-hand"),
    "cache.selector": ({"matchLabels": {"models": "german"}}, "models: german"),
    "cache.dataSource": ({"kind": "VolumeSnapshot", "name": "monday"}, "kind: VolumeSnapshot"),
    "hub.endpoint": ("https://hub.example.org", "https://hub.example.org"),
    "hub.wheelBase": ("https://wheels.example.org", "https://wheels.example.org"),
    "hub.tokenSecret": ("hub-token", "value: hub-token/token"),
    "hub.caBundle": ("PEM", "ca.crt: PEM"),
    "hub.proxy": ("http://proxy:1", "http://proxy:1"),
    "podSecurityContext.runAsUser": (4711, "runAsUser: 4711"),
    "podSecurityContext.runAsGroup": (4712, "runAsGroup: 4712"),
    "podSecurityContext.fsGroup": (4713, "fsGroup: 4713"),
    "podSecurityContext.fsGroupChangePolicy": ("Always", "fsGroupChangePolicy: Always"),
    "cacheWarmer.rerun": (3, "qda-worker/rerun: '3'"),
    "cacheWarmer.shell": (True, "qda-worker/role: shell"),
    "cacheWarmer.image.repository": ("other-warmer", "image: other-warmer:"),
    "cacheWarmer.image.tag": ("w1", "qda-cache-warmer:w1"),
    "cacheWarmer.image.digest": ("sha256:" + "a" * 64, "qda-cache-warmer@sha256:aaaa"),
    "cacheWarmer.backoffLimit": (17, "backoffLimit: 17"),
    "cacheWarmer.activeDeadlineSeconds": (171, "activeDeadlineSeconds: 171"),
    "cacheWarmer.ttlSecondsAfterFinished": (172, "ttlSecondsAfterFinished: 172"),
    "cacheWarmer.wait": ("17m", "QDA_WAIT: 17m"),
    "cacheWarmer.stallTimeout": ("17s", "QDA_STALL_TIMEOUT: 17s"),
    "cacheWarmer.logLevel": ("debug", "QDA_LOG_LEVEL: debug"),
    "cacheWarmer.resources.requests.cpu": ("1717m", "cpu: 1717m"),
    "cacheWarmer.resources.requests.memory": ("171Mi", "memory: 171Mi"),
    "cacheWarmer.resources.limits.memory": ("1717Mi", "memory: 1717Mi"),
    "cacheWarmer.jobAnnotations": ({"a/job": "1"}, "a/job"),
    "cacheWarmer.podAnnotations": ({"a/warmer": "1"}, "a/warmer"),
    "cacheWarmer.nodeSelector": ({"w-disk": "ssd"}, "w-disk: ssd"),
    "cacheWarmer.tolerations": ([{"key": "w-taint"}], "key: w-taint"),
    "cacheWarmer.affinity": ({"nodeAffinity": {"w": 1}}, "nodeAffinity:"),
    "cacheWarmer.extraEnv": ([{"name": "W_EXTRA", "value": "1"}], "name: W_EXTRA"),
    "cacheWarmer.extraVolumes": ([{"name": "w-extra"}], "name: w-extra"),
    "cacheWarmer.extraVolumeMounts": ([{"mountPath": "/w-extra"}], "mountPath: /w-extra"),
    "cacheWarmer.podLabels": ({"w-team": "a"}, "w-team: a"),
    "cacheWarmer.priorityClassName": ("w-first", "priorityClassName: w-first"),
    "cacheWarmer.runtimeClassName": ("w-gvisor", "runtimeClassName: w-gvisor"),
    "cacheWarmer.hostAliases": ([{"ip": "10.0.0.1"}], "ip: 10.0.0.1"),
    "cacheWarmer.dnsPolicy": ("Default", "dnsPolicy: Default"),
    "cacheWarmer.dnsConfig": ({"searches": ["w.example.org"]}, "- w.example.org"),
    "cacheWarmer.extraEnvFrom": ([{"configMapRef": {"name": "w-env"}}], "name: w-env"),
    "cacheWarmer.initContainers": ([{"name": "w-init"}], "name: w-init"),
    "cacheWarmer.tmpSizeLimit": ("17Gi", "sizeLimit: 17Gi"),
    "cacheWarmer.serviceAccount.name": ("w-account", "serviceAccountName: w-account"),
    "cacheWarmer.serviceAccount.annotations": ({"a/w-account": "1"}, "a/w-account"),
    "worker.replicas": (0, "replicas: 0"),
    "worker.models": (["german-ner"], "value: german-ner"),
    "worker.image.repository": ("other-worker", "image: other-worker:"),
    "worker.image.tag": ("s1", "qda-worker:s1"),
    "worker.image.digest": ("sha256:" + "b" * 64, "qda-worker@sha256:bbbb"),
    "worker.readiness": ("complete", "value: complete"),
    "worker.engine": ("openvino", "value: openvino"),
    "worker.drainDelaySeconds": (17, "value: 17s"),
    "worker.shutdownGraceSeconds": (18, "value: 18s"),
    "worker.maxConnectionAge": ("17m", "value: 17m"),
    "worker.maxCalls": (17, "value: '17'"),
    "worker.threads": (19, "value: '19'"),
    "worker.resultCache": ("119Mi", "value: 119Mi"),
    "worker.reflection": (False, "value: 'false'"),
    "worker.tls.secretName": ("worker-tls", "name: worker-tls"),
    "worker.tracing.endpoint": ("http://collector:4318", "value: http://collector:4318"),
    "worker.logLevel": ("debug", "value: debug"),
    "worker.resources.requests.cpu": ("1718m", "cpu: 1718m"),
    "worker.resources.requests.memory": ("171Mi", "memory: 171Mi"),
    "worker.resources.limits.memory": ("1718Mi", "memory: 1718Mi"),
    "worker.progressDeadlineSeconds": (171, "progressDeadlineSeconds: 171"),
    "worker.strategy.type": ("Recreate", "type: Recreate"),
    "worker.strategy.rollingUpdate.maxSurge": (17, "maxSurge: 17"),
    "worker.strategy.rollingUpdate.maxUnavailable": (18, "maxUnavailable: 18"),
    "worker.podAnnotations": ({"a/worker": "1"}, "a/worker"),
    "worker.nodeSelector": ({"s-disk": "ssd"}, "s-disk: ssd"),
    "worker.tolerations": ([{"key": "s-taint"}], "key: s-taint"),
    "worker.affinity": ({"nodeAffinity": {"s": 1}}, "nodeAffinity:"),
    "worker.topologySpreadConstraints": ([{"maxSkew": 17}], "maxSkew: 17"),
    "worker.podDisruptionBudget.enabled": (True, "kind: PodDisruptionBudget"),
    "worker.test.tlsServerName": ("texts.example.org", "value: texts.example.org"),
    "worker.test.resources.requests.cpu": ("171m", "cpu: 171m"),
    "worker.test.resources.requests.memory": ("172Mi", "memory: 172Mi"),
    "worker.test.resources.limits.cpu": ("173m", "cpu: 173m"),
    "worker.test.resources.limits.memory": ("173Mi", "memory: 173Mi"),
    "worker.extraEnv": ([{"name": "S_EXTRA", "value": "1"}], "name: S_EXTRA"),
    "worker.extraVolumes": ([{"name": "s-extra"}], "name: s-extra"),
    "worker.extraVolumeMounts": ([{"mountPath": "/s-extra"}], "mountPath: /s-extra"),
    "worker.podLabels": ({"s-team": "a"}, "s-team: a"),
    "worker.priorityClassName": ("s-first", "priorityClassName: s-first"),
    "worker.runtimeClassName": ("s-gvisor", "runtimeClassName: s-gvisor"),
    "worker.hostAliases": ([{"ip": "10.0.0.2"}], "ip: 10.0.0.2"),
    "worker.dnsPolicy": ("Default", "dnsPolicy: Default"),
    "worker.dnsConfig": ({"searches": ["s.example.org"]}, "- s.example.org"),
    "worker.extraEnvFrom": ([{"configMapRef": {"name": "s-env"}}], "name: s-env"),
    "worker.initContainers": ([{"name": "s-init"}], "name: s-init"),
    "worker.tmpSizeLimit": ("17Gi", "sizeLimit: 17Gi"),
    "worker.sidecars": ([{"name": "s-sidecar"}], "name: s-sidecar"),
    "worker.annotations": ({"a/deployment": "1"}, "a/deployment"),
    "worker.terminationGracePeriodSeconds": (171, "terminationGracePeriodSeconds: 171"),
    "worker.startupProbe.initialDelaySeconds": (1700, "initialDelaySeconds: 1700"),
    "worker.startupProbe.periodSeconds": (1701, "periodSeconds: 1701"),
    "worker.startupProbe.timeoutSeconds": (1702, "timeoutSeconds: 1702"),
    "worker.startupProbe.failureThreshold": (1703, "failureThreshold: 1703"),
    "worker.livenessProbe.initialDelaySeconds": (1710, "initialDelaySeconds: 1710"),
    "worker.livenessProbe.periodSeconds": (1711, "periodSeconds: 1711"),
    "worker.livenessProbe.timeoutSeconds": (1712, "timeoutSeconds: 1712"),
    "worker.livenessProbe.failureThreshold": (1713, "failureThreshold: 1713"),
    "worker.readinessProbe.initialDelaySeconds": (1720, "initialDelaySeconds: 1720"),
    "worker.readinessProbe.periodSeconds": (1721, "periodSeconds: 1721"),
    "worker.readinessProbe.timeoutSeconds": (1722, "timeoutSeconds: 1722"),
    "worker.readinessProbe.failureThreshold": (1723, "failureThreshold: 1723"),
    "worker.serviceAccount.name": ("s-account", "serviceAccountName: s-account"),
    "worker.serviceAccount.annotations": ({"a/s-account": "1"}, "a/s-account"),
    "worker.service.type": ("NodePort", "type: NodePort"),
    "worker.service.annotations": ({"a/service": "1"}, "a/service"),
    "worker.service.port": (1717, "port: 1717"),
    "worker.service.nodePort": (31717, "nodePort: 31717"),
    "worker.service.appProtocol": ("grpc", "appProtocol: grpc"),
    "worker.service.sessionAffinity": ("ClientIP", "sessionAffinity: ClientIP"),
    "worker.service.externalTrafficPolicy": ("Local", "externalTrafficPolicy: Local"),
    "worker.service.loadBalancerClass": ("example.org/lb", "loadBalancerClass: example.org/lb"),
    "worker.service.loadBalancerSourceRanges": (["10.1.0.0/16"], "- 10.1.0.0/16"),
    "worker.service.ipFamilyPolicy": ("RequireDualStack", "ipFamilyPolicy: RequireDualStack"),
    "worker.service.ipFamilies": (["IPv6"], "- IPv6"),
}


def value_paths(values: Object, above: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from value_paths(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _section(path: str, test: str) -> dict[str, str]:
    """Return all values of a section, with the test of them all."""
    section = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    for name in path.split("."):
        section = section[name]
    return dict.fromkeys(value_paths(section, f"{path}."), test)


# Values that a test of their own proves, by its name.
OWN_TEST: Final = {
    "catalog": "test_the_catalog_is_in_the_annotations_of_both_pods",
    "catalogLock": "test_the_catalog_is_in_the_annotations_of_both_pods",
    "cache.keep": "test_the_claim_is_kept_by_default",
    "cache.inImage": "tests/chart/test_claim.py",
    **_section("cache.image", "tests/chart/test_image_volume.py"),
    "cache.sameNode": "tests/chart/test_bad_input.py",
    "cache.validateStorageClass": "tests/cluster/test_bad_input.py: it asks the cluster",
    "lookupPods": "tests/cluster/test_release_life.py: it asks the cluster",
    "hub.tokenSecretKey": "test_the_key_of_the_token_and_the_exceptions_of_the_proxy_are_set",
    "hub.noProxy": "test_the_key_of_the_token_and_the_exceptions_of_the_proxy_are_set",
    **dict.fromkeys(
        ("hub.caConfigMap", "hub.caConfigMapKey", "hub.caSecret", "hub.caSecretKey"),
        "test_the_ca_certificates_may_be_in_a_config_map_or_a_secret",
    ),
    "cacheWarmer.enabled": "test_without_the_warmer_none_of_its_objects_are_rendered",
    "cacheWarmer.serviceAccount.create": "test_existing_service_accounts_can_be_used",
    **dict.fromkeys(
        ("worker.podDisruptionBudget.minAvailable", "worker.podDisruptionBudget.maxUnavailable"),
        "tests/chart/test_scaling.py",
    ),
    "worker.test.enabled": "tests/chart/test_helm_test.py",
    **_section("worker.autoscaling", "tests/chart/test_scaling.py"),
    **_section("worker.keda", "tests/chart/test_scaling.py"),
    **_section("worker.networkPolicy", "tests/chart/test_network_policies.py"),
    **_section("cacheWarmer.networkPolicy", "tests/chart/test_network_policies.py"),
    **_section("cacheWarmer.periodicCheck", "tests/chart/test_periodic_check.py"),
    **_section("cacheWarmer.prepare", "tests/chart/test_prepare.py"),
    **_section("worker.tls.certificate", "tests/chart/test_routes.py"),
    **_section("worker.access", "tests/chart/test_access.py"),
    "worker.test.tokenSecretName": "tests/chart/test_access.py",
    "worker.test.tokenSecretKey": "tests/chart/test_access.py",
    **_section("worker.http", "tests/chart/test_http.py"),
    **_section("worker.ingress", "tests/chart/test_routes.py"),
    **_section("worker.grpcRoute", "tests/chart/test_routes.py"),
    "worker.tls.clientCaSecretName": "test_the_client_ca_may_be_in_another_secret",
    "worker.tracing.protocol": "test_the_protocol_of_traces_is_set_with_their_endpoint",
    **_section("worker.podMonitor", "tests/chart/test_monitoring.py"),
    **_section("worker.serviceMonitor", "tests/chart/test_monitoring.py"),
    **_section("worker.prometheusRule", "tests/chart/test_monitoring.py"),
    **_section("worker.dashboard", "tests/chart/test_monitoring.py"),
    "worker.serviceAccount.create": "test_existing_service_accounts_can_be_used",
    **dict.fromkeys(
        (
            "podSecurityContext.runAsNonRoot",
            "podSecurityContext.seccompProfile.type",
            "containerSecurityContext.allowPrivilegeEscalation",
            "containerSecurityContext.readOnlyRootFilesystem",
            "containerSecurityContext.capabilities.drop",
        ),
        "tests/chart/test_security.py",
    ),
}


def nested(path: str, value: Any) -> Object:
    """Return the values that set one path."""
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def _text(rendered: Rendered) -> str:
    return yaml.safe_dump_all(rendered.objects, width=10_000)


def test_every_value_has_a_test() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert set(value_paths(values)) == set(EFFECTS) | set(OWN_TEST)


@pytest.mark.parametrize("path", sorted(EFFECTS))
def test_a_value_has_its_effect(render: Render, path: str) -> None:
    value, expected = EFFECTS[path]
    assert expected not in _text(render())
    assert expected in _text(render(nested(path, value)))


def test_the_catalog_is_in_the_annotations_of_both_pods(render: Render) -> None:
    catalog = 'apiVersion: qda/v1\nkind: Catalog\nmodels:\n  - key: "ä:\\t"  # a comment\n'
    lock = json.dumps({"kind": "CatalogLock", "models": {}})
    rendered = render({"catalog": catalog, "catalogLock": lock})

    for template in (rendered.worker, rendered.warmer):
        annotations = template["metadata"]["annotations"]
        assert annotations["qda-worker/catalog"] == catalog
        assert annotations["qda-worker/catalog-lock"] == lock
        (volume,) = [one for one in template["spec"]["volumes"] if one["name"] == "catalog"]
        assert [one["path"] for one in volume["downwardAPI"]["items"]] == [
            "catalog.yaml",
            "catalog.lock.json",
        ]
        (mount,) = [one for one in container(template)["volumeMounts"] if one["name"] == "catalog"]
        assert environment(template)["QDA_CATALOG"] == f"{mount['mountPath']}/catalog.yaml"
    assert "QDA_CATALOG" not in environment(render().worker)


KEEP: Final = {
    "helm.sh/resource-policy": "keep",
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ({}, KEEP),
        ({"keep": False}, None),
        ({"annotations": {"a": "b"}}, {**KEEP, "a": "b"}),
        (
            {"annotations": {"argocd.argoproj.io/sync-options": "Delete=false"}},
            {**KEEP, "argocd.argoproj.io/sync-options": "Delete=false"},
        ),
    ],
    ids=["default", "not kept", "further annotation", "own annotation"],
)
def test_the_claim_is_kept_by_default(render: Render, cache: Object, expected: Object | None) -> None:
    assert render({"cache": cache}).one("PersistentVolumeClaim")["metadata"].get("annotations") == expected


def test_an_existing_claim_is_used_and_none_is_created(render: Render) -> None:
    rendered = render({"cache": {"existingClaim": "theirs"}})
    assert rendered.all("PersistentVolumeClaim") == []
    for template in (rendered.worker, rendered.warmer):
        assert template["metadata"]["labels"]["qda-worker/claim"] == "theirs"


def test_the_storage_class_is_the_clusters_unless_named_or_none(render: Render) -> None:
    assert "storageClassName" not in render().one("PersistentVolumeClaim")["spec"]
    by_hand = render({"cache": {"storageClassName": "-"}}).one("PersistentVolumeClaim")
    assert by_hand["spec"]["storageClassName"] == ""


def test_a_read_write_once_claim_sets_pod_affinity_and_a_shared_one_does_not(render: Render) -> None:
    own = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "mine"}]}}
    rendered = render({"worker": {"affinity": own}})
    required = "requiredDuringSchedulingIgnoredDuringExecution"

    assert rendered.warmer["spec"]["affinity"] == {"podAffinity": {required: [TERM]}}
    assert rendered.worker["spec"]["affinity"]["podAffinity"][required] == [{"topologyKey": "mine"}, TERM]
    for template in (rendered.worker, rendered.warmer):
        assert template["metadata"]["labels"]["qda-worker/claim"] == "rel-qda-worker-cache"
    shared = render({"cache": {"accessModes": ["ReadWriteMany"]}})
    assert "affinity" not in shared.worker["spec"]
    assert "affinity" not in shared.warmer["spec"]


def test_the_key_of_the_token_and_the_exceptions_of_the_proxy_are_set(render: Render) -> None:
    hub = {"tokenSecret": "s", "tokenSecretKey": "k", "proxy": "http://p", "noProxy": "h.example.org"}
    variables = environment(render({"hub": hub}).warmer)
    assert variables["HF_TOKEN"]["secretKeyRef"] == {"name": "s", "key": "k", "optional": True}
    assert variables["QDA_TOKEN_SECRET"] == "s/k"
    assert render({"hub": hub}).warmer_settings["NO_PROXY"] == "h.example.org"


def test_only_the_warmer_gets_token_certificates_mirror_and_proxy(render: Render) -> None:
    hub = {"endpoint": "https://hub", "tokenSecret": "s", "caBundle": "PEM", "proxy": "http://p"}
    assert render({"hub": hub}).worker == render().worker


@pytest.mark.parametrize(
    ("hub", "source"),
    [
        ({"caConfigMap": "trust", "caConfigMapKey": "all.pem"}, {"configMap": {"name": "trust"}}),
        ({"caSecret": "trust", "caSecretKey": "all.pem"}, {"secret": {"secretName": "trust"}}),
    ],
    ids=["config map", "secret"],
)
def test_the_ca_certificates_may_be_in_a_config_map_or_a_secret(
    render: Render, hub: Object, source: Object
) -> None:
    rendered = render({"hub": hub})
    (volume,) = [one for one in rendered.warmer["spec"]["volumes"] if one["name"] == "ca"]
    for kind, fields in source.items():
        assert volume[kind] == {**fields, "items": [{"key": "all.pem", "path": "ca.crt"}]}
    (mount,) = [one for one in container(rendered.warmer)["volumeMounts"] if one["name"] == "ca"]
    assert rendered.warmer_settings["QDA_CA_BUNDLE"] == f"{mount['mountPath']}/ca.crt"
    assert "rel-qda-worker-ca" not in [one["metadata"]["name"] for one in rendered.all("ConfigMap")]


def test_without_the_warmer_none_of_its_objects_are_rendered(render: Render) -> None:
    rendered = render({"cacheWarmer": {"enabled": False}})
    kinds = {one["kind"] for one in rendered.objects}
    assert kinds.isdisjoint({"Job", "Role", "RoleBinding"})
    assert [one["metadata"]["name"] for one in rendered.all("ServiceAccount")] == ["rel-qda-worker"]


def test_existing_service_accounts_can_be_used(render: Render) -> None:
    there = {"serviceAccount": {"create": False, "name": "theirs"}}
    rendered = render({"worker": there, "cacheWarmer": there})
    assert rendered.all("ServiceAccount") == []
    assert rendered.worker["spec"]["serviceAccountName"] == "theirs"
    assert rendered.one("RoleBinding")["subjects"][0]["name"] == "theirs"


def test_the_client_ca_may_be_in_another_secret(render: Render) -> None:
    rendered = render({"worker": {"tls": {"secretName": "own", "clientCaSecretName": "theirs"}}})
    (volume,) = [one for one in rendered.worker["spec"]["volumes"] if one["name"] == "tls"]
    sources = {one["secret"]["name"]: one["secret"]["items"] for one in volume["projected"]["sources"]}
    assert {name: [item["path"] for item in items] for name, items in sources.items()} == {
        "own": ["tls.crt", "tls.key"],
        "theirs": ["ca.crt"],
    }
    variables = environment(rendered.worker)
    (mount,) = [one for one in container(rendered.worker)["volumeMounts"] if one["name"] == "tls"]
    files = [variables[name] for name in ("QDA_TLS_CERT", "QDA_TLS_KEY", "QDA_TLS_CLIENT_CA")]
    assert files == [f"{mount['mountPath']}/{name}" for name in ("tls.crt", "tls.key", "ca.crt")]
    assert "subPath" not in mount, "it would never be renewed"
    for service in rendered.all("Service"):
        assert service["spec"]["ports"][0]["appProtocol"] == "https"
    with pytest.raises(Refused, match=r"worker\.tls\.secretName is not"):
        render({"worker": {"tls": {"clientCaSecretName": "theirs"}}})


def test_the_protocol_of_traces_is_set_with_their_endpoint(render: Render) -> None:
    variables = environment(
        render({"worker": {"tracing": {"endpoint": "http://c:4317", "protocol": "grpc"}}}).worker
    )
    assert variables["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    assert variables["OTEL_SERVICE_NAME"] == "rel-qda-worker"
    assert not [name for name in environment(render().worker) if name.startswith("OTEL_")]
