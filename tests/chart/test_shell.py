"""The idle warmer pod, and what all pods that write to a claim have in common."""

from typing import Final

from tests.chart.conftest import Object, Render, container, environment

CATALOG: Final = "apiVersion: qda/v1\nkind: Catalog\nmodels: []\n"


def test_the_shell_has_the_pod_spec_of_the_warmer_with_an_idle_command(render: Render) -> None:
    hub = {"endpoint": "https://hub", "tokenSecret": "s", "caBundle": "PEM", "proxy": "http://p"}
    rendered = render({"hub": hub, "catalog": CATALOG, "cacheWarmer": {"shell": True}})
    shell = rendered.one("Deployment", "-shell")
    template = shell["spec"]["template"]
    own, warmer = dict(container(template)), dict(container(rendered.warmer))

    assert own.pop("command")[:2] == ["sh", "-c"]
    assert warmer.pop("args")[0] == "warm"
    job = [one for one in warmer["env"] if one["name"] == "QDA_KUBERNETES_JOB"]
    assert {**own, "env": [*own["env"], *job]} == {**warmer, "env": [*_without(warmer["env"], job), *job]}
    assert template["spec"]["volumes"] == rendered.warmer["spec"]["volumes"]
    assert template["metadata"]["annotations"]["qda-worker/catalog"] == CATALOG
    selector = shell["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["metadata"]["labels"].items()
    for other in (rendered.warmer, rendered.one("Deployment", "rel-qda-worker")["spec"]["template"]):
        assert not selector.items() <= other["metadata"]["labels"].items(), (
            "it would take others' pods for its own"
        )


def test_the_shell_does_not_need_the_job(render: Render) -> None:
    rendered = render({"hub": {"caBundle": "PEM"}, "cacheWarmer": {"shell": True, "enabled": False}})
    assert rendered.all("Job") == []
    assert rendered.one("ConfigMap", "-ca")["data"] == {"ca.crt": "PEM"}
    account = rendered.one("Deployment", "-shell")["spec"]["template"]["spec"]["serviceAccountName"]
    assert rendered.one("RoleBinding")["subjects"][0]["name"] == account
    assert account in [one["metadata"]["name"] for one in rendered.all("ServiceAccount")]


def _without(all_of_them: list[Object], some: list[Object]) -> list[Object]:
    return [one for one in all_of_them if one not in some]


def test_releases_that_share_a_claim_share_the_lease_and_keep_their_references(render: Render) -> None:
    one = environment(render({"cache": {"existingClaim": "theirs"}}).warmer)
    other = environment(render({"cache": {"existingClaim": "theirs"}, "fullnameOverride": "other"}).warmer)
    assert one["QDA_KUBERNETES_LEASE"] == other["QDA_KUBERNETES_LEASE"] == "theirs-writer"
    assert one["QDA_REFERENCE"] == "texts/rel"
    assert one["QDA_KUBERNETES_DEPLOYMENT"] != other["QDA_KUBERNETES_DEPLOYMENT"]


def test_a_claim_with_the_longest_name_still_has_a_lease(render: Render) -> None:
    claims = ["a" * 253, "a" * 252 + "b", "a" * 246]
    leases = [
        environment(render({"cache": {"existingClaim": claim}}).warmer)["QDA_KUBERNETES_LEASE"]
        for claim in claims
    ]
    assert len(set(leases)) == 3
    assert all(len(lease) <= 253 and lease.endswith("-writer") for lease in leases)
