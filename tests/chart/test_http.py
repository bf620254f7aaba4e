"""The HTTP port of the workers: container, services, network policy, Ingress and HTTPRoute."""

from typing import Any, Final

import pytest

from tests.chart.conftest import OPERATORS, Object, Refused, Render, Rendered, container, environment

GATEWAYS: Final = [{"name": "public", "namespace": "gateways"}]
SCHEME: Final = "traefik.ingress.kubernetes.io/service.serversscheme"
BACKEND: Final = "nginx.ingress.kubernetes.io/backend-protocol"


def _http(*, beside: Object | None = None, **values: Any) -> Object:
    return {"worker": {"http": {"enabled": True, **values}, **(beside or {})}}


def _ports(rendered: Rendered, suffix: str) -> dict[str, Object]:
    return {port["name"]: port for port in rendered.one("Service", suffix)["spec"]["ports"]}


def test_the_port_is_opened_in_pod_and_services_and_probes_stay(render: Render) -> None:
    rendered = render(_http(port=80, nodePort=31718, beside={"service": {"type": "NodePort"}}))
    variables, closed = environment(rendered.worker), render()
    ports = {port["name"]: port["containerPort"] for port in container(rendered.worker)["ports"]}
    assert variables["QDA_HTTP_LISTEN"] == f"[::]:{ports['http']}"
    assert "QDA_HTTP_CORS_ORIGINS" not in variables
    assert set(_ports(rendered, "qda-worker")) == {"grpc"}
    assert _ports(rendered, "-http")["http"] == {
        "name": "http", "port": 80, "targetPort": "http", "nodePort": 31718, "appProtocol": "http",
    }  # fmt: skip
    assert _ports(rendered, "-headless")["http"]["port"] == ports["http"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container(rendered.worker)[probe] == container(closed.worker)[probe]
    assert "QDA_HTTP_LISTEN" not in environment(closed.worker)
    assert set(_ports(closed, "qda-worker")) == {"grpc"}
    assert "rel-qda-worker-http" not in [one["metadata"]["name"] for one in closed.all("Service")]


@pytest.mark.parametrize(
    ("given", "secret", "expected"), [(None, "", "http"), (None, "tls", "https"), ("h2", "", "h2")]
)
def test_gateways_see_the_protocol_of_the_port(
    render: Render, given: str | None, secret: str, expected: str
) -> None:
    rendered = render(_http(appProtocol=given, beside={"tls": {"secretName": secret}}))
    assert _ports(rendered, "-http")["http"]["appProtocol"] == expected
    assert "appProtocol" not in _ports(render(_http(appProtocol="")), "-http")["http"]


def test_origins_of_web_pages_are_those_of_the_values(render: Render) -> None:
    origins = ["https://a.example.org", "http://localhost:3000"]
    assert environment(render(_http(corsOrigins=origins)).worker)["QDA_HTTP_CORS_ORIGINS"] == ",".join(
        origins
    )
    with pytest.raises(Refused):
        render(_http(corsOrigins=["a.example.org"]))


def test_the_policy_opens_the_port_to_those_who_may_call_it(render: Render) -> None:
    callers: list[Object] = [{"namespaceSelector": {}}]
    policy = {"networkPolicy": {"enabled": True, "httpFrom": callers}}
    rules = render(_http(beside=policy)).one("NetworkPolicy")["spec"]["ingress"]
    assert [rule["from"] for rule in rules if rule["ports"][0]["port"] == "http"] == [callers]
    closed = render({"worker": policy}).one("NetworkPolicy")["spec"]["ingress"]
    assert "http" not in [rule["ports"][0]["port"] for rule in closed]


def test_who_may_call_over_grpc_may_call_over_http_unless_others_are_named(render: Render) -> None:
    def callers(**policy: Any) -> Any:
        rules = render(_http(beside={"networkPolicy": {"enabled": True, **policy}})).one("NetworkPolicy")
        (rule,) = [one for one in rules["spec"]["ingress"] if one["ports"][0]["port"] == "http"]
        return rule.get("from")

    only: list[Object] = [{"podSelector": {"matchLabels": {"app": "dats"}}}]
    assert callers(grpcFrom=only) == callers(grpcFrom=only, httpFrom=None) == only
    assert callers(grpcFrom=only, httpFrom=[]) is None
    assert callers() is None


@pytest.mark.parametrize(("secret", "protocol"), [("", None), ("worker-tls", "HTTPS")])
def test_an_ingress_leads_to_the_http_port_and_that_of_grpc_stays(
    render: Render, secret: str, protocol: str | None
) -> None:
    grpc = {"enabled": True, "hosts": ["grpc.example.org"], "tlsSecretName": "grpc"}
    ingress = {
        "enabled": True,
        "hosts": ["a.example.org"],
        "className": "public",
        "annotations": {"a/b": "1"},
    }
    rendered = render(_http(ingress=ingress, beside={"ingress": grpc, "tls": {"secretName": secret}}))
    made, other = rendered.one("Ingress", "-http"), rendered.one("Ingress", "qda-worker")
    assert made["metadata"]["annotations"].get(BACKEND) == protocol
    assert made["metadata"]["annotations"]["a/b"] == "1"
    assert made["spec"]["ingressClassName"] == "public"
    assert "tls" not in made["spec"]
    assert made["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-request-buffering"] == "off"
    for one, suffix, port in ((made, "-http", "http"), (other, "qda-worker", "grpc")):
        (rule,) = one["spec"]["rules"]
        service = rule["http"]["paths"][0]["backend"]["service"]
        assert service["port"] == {"name": port}
        assert service["name"] == rendered.one("Service", suffix)["metadata"]["name"]
    encrypted = render(_http(ingress={**ingress, "tlsSecretName": "a-tls"})).one("Ingress")
    assert encrypted["spec"]["tls"] == [{"secretName": "a-tls", "hosts": ["a.example.org"]}]


def test_a_traefik_ingress_with_a_certificate_uses_tls(render: Render) -> None:
    ingress = {"enabled": True, "hosts": ["a.example.org"], "controller": "traefik", "tlsSecretName": "a"}
    made = render(_http(ingress=ingress)).one("Ingress")
    assert made["metadata"]["annotations"] == {"traefik.ingress.kubernetes.io/router.tls": "true"}


@pytest.mark.parametrize(("secret", "grpc", "http"), [("", "h2c", "http"), ("worker-tls", "https", "https")])
def test_traefik_takes_the_protocol_of_each_port_from_its_own_service(
    render: Render, secret: str, grpc: str, http: str
) -> None:
    ingress, other = (
        {"enabled": True, "controller": "traefik", "hosts": [host]} for host in ("a.org", "b.org")
    )
    shared = {"ingress": other, "tls": {"secretName": secret}, "service": {"annotations": {"lb": "internal"}}}
    rendered = render(_http(ingress=ingress, serviceAnnotations={"own": "1"}, beside=shared))
    assert rendered.one("Service", "qda-worker")["metadata"]["annotations"] == {
        "lb": "internal",
        SCHEME: grpc,
    }
    assert rendered.one("Service", "-http")["metadata"]["annotations"] == {
        "lb": "internal", "own": "1", SCHEME: http,
    }  # fmt: skip


def test_a_certificate_has_the_names_of_the_service_of_http(render: Render) -> None:
    certificate = {"enabled": True, "issuerRef": {"name": "internal"}}
    rendered = render(_http(beside={"tls": {"certificate": certificate}}), *OPERATORS)
    assert "rel-qda-worker-http.texts.svc" in rendered.one("Certificate")["spec"]["dnsNames"]


def test_an_http_route_leads_from_its_gateways_to_the_port_of_the_service(render: Render) -> None:
    route = {
        "enabled": True,
        "parentRefs": GATEWAYS,
        "hostnames": ["a.example.org"],
        "annotations": {"a/b": "1"},
    }
    grpc = {"enabled": True, "parentRefs": GATEWAYS, "hostnames": ["grpc.example.org"]}
    rendered = render(_http(port=80, httpRoute=route, beside={"grpcRoute": grpc}), *OPERATORS)
    made = rendered.one("HTTPRoute")
    assert made["metadata"]["annotations"] == {"a/b": "1"}
    assert made["spec"]["parentRefs"] == GATEWAYS
    assert made["spec"]["hostnames"] == ["a.example.org"]
    (rule,) = made["spec"]["rules"]
    service = rendered.one("Service", "-http")
    assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": 80}]
    assert rendered.one("GRPCRoute")["spec"]["rules"][0]["backendRefs"][0]["port"] == 50051


@pytest.mark.parametrize(
    ("http", "beside", "sentence"),
    [
        ({"enabled": False, "ingress": {"enabled": True}}, {}, "worker.http.enabled is false"),
        ({"enabled": False, "httpRoute": {"enabled": True}}, {}, "worker.http.enabled is false"),
        ({"ingress": {"enabled": True}}, {}, "worker.http.ingress.hosts is empty"),
        ({"httpRoute": {"enabled": True}}, {}, "worker.http.httpRoute.parentRefs is empty"),
        ({"port": 50051}, {}, "are both 50051"),
        (
            {"ingress": {"enabled": True, "hosts": ["a.example.org"]}},
            {"ingress": {"enabled": True, "hosts": ["a.example.org"], "tlsSecretName": "a"}},
            "a host of worker.ingress and of worker.http.ingress",
        ),
        (
            {"httpRoute": {"enabled": True, "parentRefs": GATEWAYS}},
            {"grpcRoute": {"enabled": True, "parentRefs": GATEWAYS, "hostnames": ["a.example.org"]}},
            "the same gateway and host names",
        ),
    ],
)
def test_http_that_cannot_be_reached_is_refused(
    render: Render, http: Object, beside: Object, sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        render(
            _http(**http, beside=beside) if "enabled" not in http else {"worker": {"http": http}}, *OPERATORS
        )
    assert sentence in str(refused.value)


def test_routes_of_different_listeners_may_share_their_names(render: Render) -> None:
    listeners = [[{"name": "public", "sectionName": name}] for name in ("http", "grpc")]
    http, grpc = ({"enabled": True, "parentRefs": one} for one in listeners)
    assert render(_http(httpRoute=http, beside={"grpcRoute": grpc}), *OPERATORS).one("HTTPRoute")


def test_a_cluster_without_the_gateway_api_is_refused(render: Render) -> None:
    with pytest.raises(Refused, match="install the Gateway API"):
        render(_http(httpRoute={"enabled": True, "parentRefs": GATEWAYS}))
