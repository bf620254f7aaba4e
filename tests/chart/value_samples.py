"""Another valid value for each value of values.yaml, with the values that it needs to have an effect.

Numbers and switches get the next one; all others are named here or in `test_values.EFFECTS`.
"""

import copy
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tests.chart.conftest import CHART, Object
from tests.chart.test_values import EFFECTS, nested, value_paths

DEFAULTS: Final[Object] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
_CATALOG: Final = "apiVersion: qda/v1\nkind: Catalog\nmodels:\n  - key: german-ner\n"
_LOCK: Final = '{"models": {}}'
# Values with which nearly every other value has an effect.
_EVERYTHING: Final[Object] = {
    "catalog": _CATALOG,
    "catalogLock": _LOCK,
    "cache": {"accessModes": ["ReadWriteMany"]},
    "hub": {
        "endpoint": "https://first.example.org",
        "tokenSecret": "token",
        "caBundle": "FIRST",
        "proxy": "http://first:1",
    },
    "cacheWarmer": {"networkPolicy": {"enabled": True}, "shell": True, "periodicCheck": {"enabled": True}},
    "worker": {
        "autoscaling": {"enabled": True},
        "tls": {"secretName": "tls"},
        "tracing": {"endpoint": "http://first:4318"},
        "podMonitor": {"enabled": True},
        "networkPolicy": {"enabled": True},
        "ingress": {"enabled": True, "hosts": ["texts.example.org"], "tlsSecretName": "texts"},
        "grpcRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
        "access": {"tokensSecretName": "tokens"},
        "http": {
            "enabled": True,
            "ingress": {"enabled": True, "hosts": ["http.example.org"]},
            "httpRoute": {"enabled": True, "parentRefs": [{"name": "http"}]},
        },
    },
}
# With a client CA an Ingress needs annotations of its controller.
_NO_INGRESS: Final[Object] = {"ingress": {"enabled": False}, "http": {"ingress": {"enabled": False}}}
_NO_CLAIM: Final[Object] = {"cacheWarmer": {"shell": False, "periodicCheck": {"enabled": False}}}
# What some values need instead; by the beginning of their path, the last one that fits counts.
_NEEDS: Final[dict[str, Object]] = {
    "cache.accessModes": {
        "cache": {"accessModes": ["ReadWriteOnce"]},
        "worker": {"autoscaling": {"enabled": False}},
    },
    "hub.caConfigMap": {"hub": {"caBundle": "", "caConfigMap": "trust"}},
    "hub.caSecret": {"hub": {"caBundle": "", "caSecret": "trust"}},
    "cacheWarmer.prepare": {"catalog": f"{_CATALOG}    serving: {{precision: int8}}\n"},
    "worker.replicas": {"worker": {"autoscaling": {"enabled": False}}},
    "worker.autoscaling.enabled": {"worker": {"autoscaling": {"enabled": False}}},
    "worker.keda": {
        "worker": {
            "autoscaling": {"enabled": False},
            "keda": {"enabled": True, "prometheus": {"serverAddress": "http://p:9090"}},
        }
    },
    "worker.prometheusRule": {"worker": {"prometheusRule": {"enabled": True}}},
    "worker.dashboard": {"worker": {"dashboard": {"enabled": True}}},
    "worker.serviceMonitor": {
        "worker": {"podMonitor": {"enabled": False}, "serviceMonitor": {"enabled": True}}
    },
    "worker.tls.certificate": {
        "worker": {"tls": {"certificate": {"enabled": True, "issuerRef": {"name": "internal"}}}}
    },
    "worker.service.loadBalancer": {"worker": {"service": {"type": "LoadBalancer"}}},
    "worker.service.externalTrafficPolicy": {"worker": {"service": {"type": "LoadBalancer"}}},
    "worker.service.nodePort": {"worker": {"service": {"type": "NodePort"}}},
    "worker.http.enabled": {
        "worker": {"http": {"ingress": {"enabled": False}, "httpRoute": {"enabled": False}}}
    },
    "worker.http.nodePort": {"worker": {"service": {"type": "NodePort"}}},
    "worker.tls.clientCaSecretName": {"worker": _NO_INGRESS},
    "worker.access.allowedClients": {"worker": {"tls": {"clientCaSecretName": "clients"}, **_NO_INGRESS}},
    "worker.test.tokenSecretKey": {"worker": {"test": {"tokenSecretName": "token"}}},
    "cache.inImage": _NO_CLAIM,
    "cache.image.reference": _NO_CLAIM,
    "cache.image.pullPolicy": {"cache": {"image": {"reference": "models:one"}}, **_NO_CLAIM},
}
_SAMPLES: Final[Object] = {
    "cache.image.reference": "models:two",
    "cache.image.pullPolicy": "Always",
    "catalog": f"{_CATALOG}# another text\n",
    "catalogLock": "",
    "hub.tokenSecretKey": "hf",
    "hub.caConfigMap": "other",
    "hub.caConfigMapKey": "all.pem",
    "hub.caSecret": "other",
    "hub.caSecretKey": "all.pem",
    "hub.noProxy": "intranet.example.org",
    "podSecurityContext.seccompProfile.type": "Unconfined",
    "containerSecurityContext.capabilities.drop": ["NET_RAW"],
    "cacheWarmer.networkPolicy.hubCidrs": ["10.0.0.0/8"],
    "cacheWarmer.networkPolicy.apiServerCidrs": ["10.0.0.0/8"],
    "cacheWarmer.networkPolicy.apiServerPorts": [6443],
    "cacheWarmer.networkPolicy.egress": [{"ports": [{"port": 8080}]}],
    "cacheWarmer.prepare.sizeLimit": "17Gi",
    "cacheWarmer.prepare.resources.requests.cpu": "1717m",
    "cacheWarmer.prepare.resources.requests.memory": "171Mi",
    "cacheWarmer.prepare.resources.limits.memory": "1717Mi",
    "cacheWarmer.periodicCheck.schedule": "0 4 * * *",
    "cacheWarmer.periodicCheck.timeZone": "Europe/Berlin",
    "cacheWarmer.periodicCheck.resources.requests.cpu": "300m",
    "cacheWarmer.periodicCheck.resources.requests.memory": "300Mi",
    "cacheWarmer.periodicCheck.resources.limits.memory": "600Mi",
    "worker.autoscaling.metrics": [{"type": "Resource", "resource": {"name": "memory"}}],
    "worker.autoscaling.behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
    "worker.keda.prometheus.serverAddress": "http://other:9090",
    "worker.keda.prometheus.targetQueueSeconds": 0.7,
    "worker.keda.prometheus.query": "up",
    "worker.keda.triggers": [{"type": "cron", "metadata": {"timezone": "Etc/UTC"}}],
    "worker.tls.certificate.issuerRef.name": "other",
    "worker.tls.certificate.issuerRef.kind": "ClusterIssuer",
    "worker.tls.certificate.issuerRef.group": "awspca.cert-manager.io",
    "worker.tls.certificate.dnsNames": ["texts.example.org"],
    "worker.tls.certificate.duration": "2160h",
    "worker.tls.certificate.renewBefore": "360h",
    "worker.tls.clientCaSecretName": "clients",
    "worker.tracing.protocol": "grpc",
    "worker.podMonitor.interval": "15s",
    "worker.serviceMonitor.interval": "15s",
    "worker.prometheusRule.refusedRatio": 0.07,
    "worker.prometheusRule.errorRatio": 0.07,
    "worker.dashboard.labels.grafana_dashboard": "yes",
    "worker.podDisruptionBudget.enabled": False,
    "worker.podDisruptionBudget.minAvailable": 1,
    "worker.podDisruptionBudget.maxUnavailable": 2,
    "worker.ingress.controller": "traefik",
    "worker.ingress.className": "internal",
    "worker.ingress.hosts": ["other.example.org"],
    "worker.ingress.tlsSecretName": "other",
    "worker.grpcRoute.parentRefs": [{"name": "other"}],
    "worker.grpcRoute.hostnames": ["other.example.org"],
    "worker.access.tokensSecretName": "other",
    "worker.access.tokensSecretKey": "all",
    "worker.access.maxCallerCalls": 17,
    "worker.access.callerTextsPerSecond": 17.5,
    "worker.access.allowedClients": ["dats"],
    "worker.http.nodePort": 31718,
    "worker.http.appProtocol": "http2",
    "worker.http.serviceAnnotations": {"a/http-service": "1"},
    "worker.http.corsOrigins": ["https://app.example.org"],
    "worker.http.ingress.controller": "traefik",
    "worker.http.ingress.className": "internal",
    "worker.http.ingress.hosts": ["another.example.org"],
    "worker.http.ingress.tlsSecretName": "another",
    "worker.http.httpRoute.parentRefs": [{"name": "another"}],
    "worker.http.httpRoute.hostnames": ["another.example.org"],
    "worker.test.tokenSecretName": "another",
    "worker.test.tokenSecretKey": "another",
    "worker.networkPolicy.httpFrom": [{"namespaceSelector": {}}],
    "worker.networkPolicy.grpcFrom": [{"namespaceSelector": {}}],
    "worker.networkPolicy.metricsFrom": [{"namespaceSelector": {}}],
    "worker.networkPolicy.egress": [{"ports": [{"port": 8080}]}],
}
_MAPS: Final = ("annotations", "labels", "alertLabels")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one value: the values of the release before and after it."""

    path: str
    before: Object
    after: Object


def changes() -> list[Change]:
    """Return a change of each value of values.yaml."""
    return [_change(path) for path in value_paths(DEFAULTS)]


def merged(first: Object, second: Object) -> Object:
    """Return nested values with those of `second` in place of those of `first`."""
    result = copy.deepcopy(first)
    for name, value in second.items():
        inner = result.get(name)
        if isinstance(inner, dict) and isinstance(value, dict):
            result[name] = merged(inner, value)
        else:
            result[name] = value
    return result


def _change(path: str) -> Change:
    before = _EVERYTHING
    for beginning, needed in _NEEDS.items():
        if path.startswith(beginning):
            before = merged(_EVERYTHING, needed)
    return Change(path, before, merged(before, nested(path, _another(path, before))))


def _another(path: str, before: Object) -> Any:
    """Return another valid value. Raises `KeyError` if it must be named in this module."""
    value: Any = merged(DEFAULTS, before)
    for name in path.split("."):
        value = value[name]
    if path in _SAMPLES:
        return _SAMPLES[path]
    if isinstance(value, bool):
        return not value
    if path in EFFECTS:
        return EFFECTS[path][0]
    if isinstance(value, int):
        return value + 1
    if path.rpartition(".")[2] in _MAPS:
        return {"example.org/another": "1"}
    raise KeyError(path)
