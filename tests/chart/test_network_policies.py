"""The network policies allow what the pods use, and nothing else."""

from typing import Any, Final

import pytest

from tests.chart.conftest import Object, Render, Rendered, container

DNS: Final = {53, 5353}
ANYWHERE: Final = ["0.0.0.0/0", "::/0"]


def _policy(rendered: Rendered, component: str) -> Object:
    """Return the spec of the policy of one component, which selects its pods."""
    policy = rendered.one("NetworkPolicy", {"worker": "qda-worker", "warmer": "-warmer"}[component])
    template = rendered.worker if component == "worker" else rendered.warmer
    spec = policy["spec"]
    assert spec["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    # Both directions are governed: where one has no rules, as in a rendering without that key, nothing passes.
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert isinstance(spec, dict)
    return spec


def _ports(rule: Object) -> set[Any]:
    return {port["port"] for port in rule["ports"]}


def _blocks(rule: Object) -> list[str]:
    return [peer["ipBlock"]["cidr"] for peer in rule["to"]]


def _worker(**values: Any) -> Object:
    return {"worker": {"networkPolicy": {"enabled": True}, **values}}


def _warmer(render: Render, hub: Object, **values: Any) -> list[Object]:
    policy = {"networkPolicy": {"enabled": True, **values}}
    egress = _policy(render({"hub": hub, "cacheWarmer": policy}), "warmer")["egress"]
    assert isinstance(egress, list)
    return egress


def test_there_are_no_policies_by_default(render: Render) -> None:
    assert render().all("NetworkPolicy") == []


def test_a_worker_is_reached_at_its_ports_and_reaches_nothing(render: Render) -> None:
    rendered = render(_worker())
    spec = _policy(rendered, "worker")
    assert not spec.get("egress")
    assert set.union(*(_ports(rule) for rule in spec["ingress"])) == {
        port["name"] for port in container(rendered.worker)["ports"]
    }
    assert not any("from" in rule for rule in spec["ingress"])


def test_calls_and_metrics_can_be_limited_to_some_and_helm_test_still_calls(render: Render) -> None:
    callers: Object = {"namespaceSelector": {"matchLabels": {"a": "b"}}}
    monitoring: Object = {"podSelector": {}}
    policy = {"enabled": True, "grpcFrom": [callers], "metricsFrom": [monitoring]}
    rendered = render(_worker(networkPolicy=policy))
    rules = {rule["ports"][0]["port"]: rule.get("from") for rule in _policy(rendered, "worker")["ingress"]}
    assert rules["health"] is None
    assert rules["metrics"] == [monitoring]
    first, test = rules["grpc"]
    assert first == callers
    labels = rendered.one("Pod", "-test")["metadata"]["labels"]
    assert test["podSelector"]["matchLabels"].items() <= labels.items()


def test_a_worker_reaches_its_otlp_endpoint(render: Render) -> None:
    further = {"ports": [{"port": 17}]}
    traces = {"endpoint": "http://collector:4317"}
    policy = {"enabled": True, "egress": [further]}
    dns, otlp, last = _policy(render(_worker(networkPolicy=policy, tracing=traces)), "worker")["egress"]
    assert _ports(dns) == DNS
    assert _ports(otlp) == {4317}
    assert last == further


@pytest.mark.parametrize(
    ("hub", "ports"),
    [
        ({}, {443}),
        ({"endpoint": "http://hub:8001", "wheelBase": "http://[::1]/wheels"}, {8001, 80}),
        ({"endpoint": "https://hub:8443"}, {8443, 443}),
        ({"endpoint": "https://hub:8443", "proxy": "http://proxy:3128"}, {3128}),
    ],
)
def test_the_warmer_reaches_the_ports_of_its_urls(render: Render, hub: Object, ports: set[int]) -> None:
    dns, api, files = _warmer(render, hub)
    assert _ports(dns) == DNS
    assert _ports(api) == {443, 6443}
    assert _ports(files) == ports
    assert _blocks(api) == _blocks(files) == ANYWHERE


def test_the_addresses_of_the_warmer_can_be_limited(render: Render) -> None:
    further = {"ports": [{"port": 17}]}
    dns, api, files, last = _warmer(
        render,
        {},
        hubCidrs=["192.0.2.0/24"],
        apiServerCidrs=["10.0.0.1/32"],
        apiServerPorts=[8443],
        egress=[further],
    )
    assert "to" not in dns
    assert (_blocks(api), _ports(api)) == (["10.0.0.1/32"], {8443})
    assert _blocks(files) == ["192.0.2.0/24"]
    assert last == further


def test_nobody_reaches_the_warmer_and_without_one_there_is_no_policy(render: Render) -> None:
    policy = {"networkPolicy": {"enabled": True}}
    assert not _policy(render({"cacheWarmer": policy}), "warmer").get("ingress")
    assert render({"cacheWarmer": {**policy, "enabled": False}}).all("NetworkPolicy") == []
