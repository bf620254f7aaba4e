"""The pod of `helm test` calls the service as a client does."""

import shlex
from typing import Any, Final

import pytest

from qda_worker.client.cli.options import parser
from tests.chart.conftest import Object, Render, Rendered

TLS: Final = {"worker": {"tls": {"secretName": "worker-tls"}}}
TOKEN: Final = {"worker": {"access": {"tokensSecretName": "callers"}, "test": {"tokenSecretName": "own"}}}


def _test(rendered: Rendered) -> Object:
    pod = rendered.one("Pod", "-test")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    return pod


def _container(pod: Object) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_the_test_pod_calls_the_service_by_a_name_in_its_certificate(render: Render) -> None:
    pod = _test(render(TLS))
    environment = {one["name"]: one["value"] for one in _container(pod)["env"]}
    assert environment["QDA_TARGET"] == "rel-qda-worker.texts.svc:50051"
    script = _container(pod)["command"][2]
    assert script.startswith("if [ -e /tls/ca.crt ]; then export QDA_TLS_CA=/tls/ca.crt; fi; ")
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "tls"]
    assert volume["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}], "never the key"
    assert volume["secret"]["optional"] is True, "a public authority: no ca.crt in the Secret"


def test_without_tls_the_test_pod_calls_in_plain_text(render: Render) -> None:
    pod = _test(render())
    assert "tls" not in _container(pod)["command"][2]
    assert [one["name"] for one in pod["spec"]["volumes"]] == ["tmp"]


def test_with_mutual_tls_there_is_no_helm_test(render: Render) -> None:
    mutual = {"worker": {"tls": {"secretName": "worker-tls", "clientCaSecretName": "clients"}}}
    assert render(mutual).all("Pod") == []


def test_the_test_pod_can_be_left_out(render: Render) -> None:
    assert render({"worker": {"test": {"enabled": False}}}).all("Pod") == []


def test_the_test_pod_has_all_requests_and_limits_for_namespaces_with_a_quota(render: Render) -> None:
    resources = _container(_test(render()))["resources"]
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}


def test_the_test_pod_is_no_endpoint_and_meets_the_restricted_standard(render: Render) -> None:
    rendered = render()
    pod = _test(rendered)
    for service in rendered.all("Service"):
        labels = pod["metadata"]["labels"]
        assert any(labels[name] != value for name, value in service["spec"]["selector"].items())
    assert pod["spec"]["securityContext"] == rendered.worker["spec"]["securityContext"]
    (worker,) = rendered.worker["spec"]["containers"]
    assert _container(pod)["securityContext"] == worker["securityContext"]
    assert pod["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("values", [{}, TLS, TOKEN], ids=["plain", "tls", "token"])
def test_the_client_has_the_commands_that_it_runs(render: Render, values: Object) -> None:
    shell, flag, script = _container(_test(render(values)))["command"]
    assert (shell, flag) == ("sh", "-c")
    for command in script.split("; ")[-1].split(" && "):
        program, *arguments = shlex.split(command)
        assert program == "qda-client"
        assert parser().parse_args(arguments).command == arguments[0]
