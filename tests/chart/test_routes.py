"""Certificates of cert-manager, Ingress and GRPCRoute lead to the workers."""

from typing import Any, Final

import pytest

from tests.chart.conftest import OPERATORS, Object, Refused, Render, container, environment

NGINX: Final = "nginx.ingress.kubernetes.io/backend-protocol"
HOSTS: Final[Object] = {
    "enabled": True,
    "hosts": ["a.example.org", "b.example.org"],
    "tlsSecretName": "a-tls",
}


def _worker(**values: Any) -> Object:
    return {"worker": values}


def test_a_certificate_is_for_both_services_and_the_workers_use_its_secret(render: Render) -> None:
    issuer = {"name": "internal", "kind": "ClusterIssuer", "group": "issuers.example.org"}
    certificate = {
        "enabled": True,
        "issuerRef": issuer,
        "dnsNames": ["texts.example.org"],
        "duration": "2160h",
        "renewBefore": "360h",
    }
    rendered = render(_worker(tls={"certificate": certificate}), *OPERATORS)
    spec = rendered.one("Certificate")["spec"]

    assert spec["issuerRef"] == issuer
    assert (spec["duration"], spec["renewBefore"]) == ("2160h", "360h")
    services = {one["metadata"]["name"] for one in rendered.all("Service")}
    assert {f"{name}.texts.svc" for name in services} | {"texts.example.org"} <= set(spec["dnsNames"])
    (volume,) = [one for one in rendered.worker["spec"]["volumes"] if one["name"] == "tls"]
    assert volume["projected"]["sources"][0]["secret"]["name"] == spec["secretName"] == "rel-qda-worker-tls"
    assert environment(rendered.worker)["QDA_TLS_CERT"] == "/tls/tls.crt"
    (test,) = rendered.one("Pod")["spec"]["containers"]
    target = next(one["value"] for one in test["env"] if one["name"] == "QDA_TARGET")
    assert target.split(":")[0] in spec["dnsNames"]

    named = render(_worker(tls={"certificate": certificate, "secretName": "own"}), *OPERATORS)
    assert named.one("Certificate")["spec"]["secretName"] == "own"
    assert render().all("Certificate") == []


@pytest.mark.parametrize(("secret", "protocol"), [("", "GRPC"), ("worker-tls", "GRPCS")])
def test_ingress_nginx_speaks_grpc_to_the_service(render: Render, secret: str, protocol: str) -> None:
    ingress = {**HOSTS, "className": "public", "annotations": {"a/ingress": "1"}}
    rendered = render(_worker(ingress=ingress, tls={"secretName": secret}))
    made = rendered.one("Ingress")

    assert made["metadata"]["annotations"][NGINX] == protocol
    assert made["metadata"]["annotations"]["a/ingress"] == "1"
    assert made["spec"]["ingressClassName"] == "public"
    assert made["spec"]["tls"] == [{"secretName": "a-tls", "hosts": HOSTS["hosts"]}]
    assert [rule["host"] for rule in made["spec"]["rules"]] == HOSTS["hosts"]
    service = rendered.one("Service", "qda-worker")
    for rule in made["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert path["path"] == "/"
        backend = path["backend"]["service"]
        assert backend["name"] == service["metadata"]["name"]
        assert backend["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]


def test_traefik_takes_the_protocol_from_the_service(render: Render) -> None:
    rendered = render(_worker(ingress={**HOSTS, "controller": "traefik"}))
    service = rendered.one("Service", "qda-worker")["metadata"]["annotations"]
    assert service == {"traefik.ingress.kubernetes.io/service.serversscheme": "h2c"}
    assert NGINX not in rendered.one("Ingress")["metadata"]["annotations"]


def test_own_annotations_of_an_ingress_win_and_may_be_the_only_ones(render: Render) -> None:
    own = render(_worker(ingress={**HOSTS, "annotations": {NGINX: "HTTP"}})).one("Ingress")
    assert own["metadata"]["annotations"][NGINX] == "HTTP"
    bare = render(_worker(ingress={**HOSTS, "controller": "", "tlsSecretName": ""})).one("Ingress")
    assert "annotations" not in bare["metadata"]
    assert "tls" not in bare["spec"]
    assert render().all("Ingress") == []


def test_a_grpc_route_leads_from_its_gateways_to_the_service(render: Render) -> None:
    gateways = [{"name": "public", "namespace": "gateways"}]
    route = {
        "enabled": True,
        "parentRefs": gateways,
        "hostnames": ["texts.example.org"],
        "annotations": {"a/route": "1"},
    }
    rendered = render(_worker(grpcRoute=route, service={"port": 443}), *OPERATORS)
    made, service = rendered.one("GRPCRoute"), rendered.one("Service", "qda-worker")
    assert made["metadata"]["annotations"] == {"a/route": "1"}
    assert made["spec"]["parentRefs"] == gateways
    assert made["spec"]["hostnames"] == ["texts.example.org"]
    (rule,) = made["spec"]["rules"]
    (port,) = service["spec"]["ports"]
    assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": port["port"]}]
    assert container(rendered.worker)["ports"][0]["name"] == port["targetPort"]
    assert render().all("GRPCRoute") == []


@pytest.mark.parametrize(
    ("worker", "sentence"),
    [
        ({"tls": {"certificate": {"enabled": True}}}, "issuerRef.name is empty"),
        ({"ingress": {"enabled": True}}, "worker.ingress.hosts is empty"),
        ({"ingress": {**HOSTS, "tlsSecretName": ""}}, "only over TLS"),
        ({"grpcRoute": {"enabled": True}}, "worker.grpcRoute.parentRefs is empty"),
    ],
)
def test_routes_that_lead_nowhere_are_refused(render: Render, worker: Object, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        render(_worker(**worker), *OPERATORS)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("worker", "remedy"),
    [
        ({"tls": {"certificate": {"enabled": True}}}, "install cert-manager"),
        ({"grpcRoute": {"enabled": True}}, "install the Gateway API"),
    ],
)
def test_an_api_that_the_cluster_lacks_is_refused(render: Render, worker: Object, remedy: str) -> None:
    with pytest.raises(Refused, match=remedy):
        render(_worker(**worker))


_PROXY_SECRET: Final = "nginx.ingress.kubernetes.io/proxy-ssl-secret"
_PASSTHROUGH: Final = "nginx.ingress.kubernetes.io/ssl-passthrough"
_TRANSPORT: Final = "traefik.ingress.kubernetes.io/service.serverstransport"


def _mutual(port: str, controller: str, own: Object, service: Object) -> Object:
    """Return values with a client CA and an Ingress of one of the two ports."""
    ingress = {**HOSTS, "controller": controller, "annotations": own}
    tls = {"secretName": "tls", "clientCaSecretName": "ca"}
    if port == "grpc":
        return _worker(tls=tls, ingress=ingress, service={"annotations": service})
    return _worker(tls=tls, http={"enabled": True, "ingress": ingress, "serviceAnnotations": service})


@pytest.mark.parametrize("port", ["grpc", "http"])
@pytest.mark.parametrize(
    ("controller", "own", "service", "remedy"),
    [
        ("nginx", {"cert-manager.io/cluster-issuer": "a"}, {}, f"set {_PROXY_SECRET} in"),
        ("nginx", {_PASSTHROUGH: "false"}, {_TRANSPORT: "a"}, f"set {_PROXY_SECRET} in"),
        ("traefik", {_PROXY_SECRET: "a/b"}, {"lb": "internal"}, f"set {_TRANSPORT} in"),
        ("", {"cert-manager.io/cluster-issuer": "a"}, {}, "the annotation of your controller"),
        ("nginx", {_PROXY_SECRET: "a/b"}, {}, ""),
        ("nginx", {_PASSTHROUGH: "true"}, {}, ""),
        ("traefik", {}, {_TRANSPORT: "texts-mtls@kubernetescrd"}, ""),
        ("", {"haproxy.org/server-crt": "a/b"}, {}, ""),
    ],
)
def test_an_ingress_to_workers_with_a_client_ca_needs_a_client_certificate(
    render: Render, port: str, controller: str, own: Object, service: Object, remedy: str
) -> None:
    values = _mutual(port, controller, own, service)
    if not remedy:
        assert render(values).one("Ingress")
        return
    with pytest.raises(Refused) as refused:
        render(values)
    assert "refuse an Ingress controller without a client certificate" in str(refused.value)
    assert remedy in str(refused.value)
