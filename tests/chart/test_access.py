"""Tokens, names of client certificates and limits of one caller reach the worker; `helm test` has its own token."""

from typing import Any, Final

import pytest

from tests.chart.conftest import Object, Refused, Render, container, environment

ACCESS: Final[Object] = {"tokensSecretName": "callers", "tokensSecretKey": "all"}


def _worker(**values: Any) -> Object:
    return {"worker": values}


def test_the_tokens_are_mounted_as_a_folder_that_others_cannot_read(render: Render) -> None:
    worker = render(_worker(access=ACCESS)).worker
    (volume,) = [one for one in worker["spec"]["volumes"] if one["name"] == "access"]
    (mount,) = [one for one in container(worker)["volumeMounts"] if one["name"] == "access"]
    items = [{"key": "all", "path": "tokens"}]
    assert volume["secret"] == {"secretName": "callers", "defaultMode": 0o440, "items": items}
    assert "subPath" not in mount
    assert mount["readOnly"]
    assert environment(worker)["QDA_TOKENS"] == f"{mount['mountPath']}/tokens"
    assert worker["spec"]["securityContext"]["fsGroup"]
    assert "QDA_TOKENS" not in environment(render().worker)


def test_allowed_names_and_limits_are_set_only_if_given(render: Render) -> None:
    names = ["dats", "spiffe://td/ns/a/sa/b"]
    tls = {"secretName": "tls", "clientCaSecretName": "ca"}
    access = {"allowedClients": names, "maxCallerCalls": 1000000, "callerTextsPerSecond": 0.5}
    variables = environment(render(_worker(access=access, tls=tls)).worker)
    assert variables["QDA_ALLOW_CLIENTS"] == ",".join(names)
    assert variables["QDA_MAX_CALLER_CALLS"] == "1000000"
    assert variables["QDA_CALLER_TEXTS_PER_SECOND"] == "0.5"
    for rate, written in ((20000000, "20000000"), (1e-6, "0.000001"), (0.9999999, "1")):
        variables = environment(render(_worker(access={"callerTextsPerSecond": rate})).worker)
        assert variables["QDA_CALLER_TEXTS_PER_SECOND"] == written
    assert not [name for name in environment(render().worker) if "CALLER" in name or "ALLOW" in name]


def test_names_without_client_certificates_are_refused(render: Render) -> None:
    with pytest.raises(Refused, match="clientCaSecretName is not"):
        render(_worker(access={"allowedClients": ["dats"]}))


@pytest.mark.parametrize(
    "access",
    [
        {"maxCallerCalls": 0},
        {"callerTextsPerSecond": 0},
        {"callerTextsPerSecond": 1e-7},
        {"allowedClients": ["a,b"]},
    ],
)
def test_values_that_the_worker_would_refuse_are_refused_by_the_schema(
    render: Render, access: Object
) -> None:
    with pytest.raises(Refused):
        render(_worker(access=access, tls={"secretName": "tls", "clientCaSecretName": "ca"}))


def test_helm_test_asks_for_health_alone_unless_it_has_a_token(render: Render) -> None:
    def test_pod(**test: str) -> Object:
        return {"spec": render(_worker(access=ACCESS, test=test)).one("Pod")["spec"]}

    without, with_token = test_pod(), test_pod(tokenSecretName="own", tokenSecretKey="t")
    assert container(without)["command"][-1] == "qda-client health --wait 60s"
    command = container(with_token)["command"][-1]
    assert command.endswith("qda-client models --plaintext-token && qda-client cache --plaintext-token")
    assert environment(with_token)["QDA_TOKEN"] == {"secretKeyRef": {"name": "own", "key": "t"}}
    opened = render().one("Pod")
    assert "cache" in container(opened)["command"][-1]
    assert "token" not in str(opened["spec"]["containers"])
