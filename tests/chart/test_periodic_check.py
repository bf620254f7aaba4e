"""The periodic deep check: a CronJob with the pod of the warmer, and no more rights and secrets than it uses."""

from typing import Any, Final

import pytest

from tests.chart.conftest import Object, Refused, Render, Rendered, container, environment
from tests.chart.test_security import rights

HUB: Final = {
    "tokenSecret": "hub-token",
    "caBundle": "PEM",
    "proxy": "http://proxy:1",
    "endpoint": "https://hub",
}
CHECK: Final = {"cacheWarmer": {"periodicCheck": {"enabled": True}}}


def values(**check: Any) -> Object:
    return {"hub": HUB, "cacheWarmer": {"periodicCheck": {"enabled": True, **check}}}


def cron(rendered: Rendered) -> Object:
    spec = rendered.one("CronJob")["spec"]
    assert isinstance(spec, dict)
    return spec


def template(rendered: Rendered) -> Object:
    found = cron(rendered)["jobTemplate"]["spec"]["template"]
    assert isinstance(found, dict)
    return found


def test_there_is_none_by_default_and_it_changes_neither_job_nor_workers(render: Render) -> None:
    before, after = render(), render(CHECK)
    assert before.all("CronJob") == []
    assert after.one("Job") == before.one("Job")
    assert after.one("Deployment") == before.one("Deployment")


def test_checks_do_not_overlap_and_a_missed_one_is_made_up_for_a_while(render: Render) -> None:
    spec = cron(render(values(schedule="0 4 * * 6", timeZone="Europe/Berlin", suspend=True)))
    assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("0 4 * * 6", "Europe/Berlin", True)
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 3600
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 3)
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (3, 14400)
    assert "timeZone" not in cron(render(CHECK))


def test_the_pod_is_that_of_the_warmer_with_another_command(render: Render) -> None:
    rendered = render(values(repair=True, resources={"limits": {"memory": "1Gi"}}))
    pod, warmer = template(rendered), rendered.warmer
    own, other = dict(container(pod)), dict(container(warmer))
    assert own.pop("args") == ["verify", "--repair"]
    assert rendered.one("ConfigMap", "-warmer")["data"]["QDA_WAIT"] == "30m"
    other.pop("args")
    assert own.pop("resources")["limits"] == {"memory": "1Gi"}
    other.pop("resources")
    commands = {"QDA_WARM_COMMAND", "QDA_REPAIR_COMMAND", "QDA_IMPORT_COMMAND"}
    extra = {"QDA_KUBERNETES_JOB", "QDA_KUBERNETES_CRONJOB", *commands}
    for each in (own, other):
        each["env"] = [one for one in each["env"] if one["name"] not in extra]
    assert own == other
    for name in ("securityContext", "affinity", "serviceAccountName", "volumes", "restartPolicy"):
        assert pod["spec"][name] == warmer["spec"][name]
    assert environment(pod)["QDA_KUBERNETES_CRONJOB"] == rendered.one("CronJob")["metadata"]["name"]
    labels = pod["metadata"]["labels"]
    assert rendered.warmer["metadata"]["labels"].items() <= labels.items()
    assert (
        cron(rendered)["jobTemplate"]["spec"]["podFailurePolicy"]
        == rendered.one("Job")["spec"]["podFailurePolicy"]
    )


def test_it_checks_the_catalog_of_the_release(render: Render) -> None:
    catalog = "apiVersion: qda/v1\nkind: Catalog\nmodels: []\n"
    pod = template(render({**CHECK, "catalog": catalog}))
    assert pod["metadata"]["annotations"]["qda-worker/catalog"] == catalog
    assert environment(pod)["QDA_CATALOG"] == "/etc/qda-worker/catalog.yaml"


def test_a_check_that_only_reports_gets_nothing_of_the_hub(render: Render) -> None:
    pod = template(render(values()))
    assert container(pod)["args"] == ["verify"]
    text = str(pod)
    for secret in ("hub-token", "proxy:1", "https://hub", "/etc/qda-worker-ca", "QDA_KUBERNETES_LEASE"):
        assert secret not in text


def test_the_role_has_what_is_used(render: Render) -> None:
    alone = {"cacheWarmer": {"enabled": False, "periodicCheck": {"enabled": True}}}
    events_only = {
        ("events", "create", ""),
        ("cronjobs", "get", "rel-qda-worker-check"),
        ("deployments", "get", "rel-qda-worker"),
    }
    assert rights(render(alone)) == events_only
    alone["cacheWarmer"]["periodicCheck"] = {"enabled": True, "repair": True}
    assert rights(render(alone)) == events_only | {
        ("leases", "create", ""),
        ("leases", "get", "rel-qda-worker-cache-writer"),
        ("leases", "update", "rel-qda-worker-cache-writer"),
        ("persistentvolumeclaims", "get", "rel-qda-worker-cache"),
    }
    assert rights(render(CHECK)) - rights(render()) == {("cronjobs", "get", "rel-qda-worker-check")}


def test_a_claim_that_cannot_be_written_is_checked_and_not_repaired(render: Render) -> None:
    read_only = {"cache": {"accessModes": ["ReadOnlyMany"], "existingClaim": "theirs"}}
    check = {"enabled": True}
    rendered = render({**read_only, "cacheWarmer": {"enabled": False, "periodicCheck": check}})
    (mount,) = [one for one in container(template(rendered))["volumeMounts"] if one["name"] == "cache"]
    assert mount["readOnly"] is True
    assert "affinity" not in template(rendered)["spec"], "its pods may run on any node"
    with pytest.raises(Refused, match=r"must write to the claim.*cacheWarmer.periodicCheck.repair=false"):
        render({**read_only, "cacheWarmer": {"enabled": False, "periodicCheck": {**check, "repair": True}}})


def test_models_in_the_image_are_not_checked(render: Render) -> None:
    with pytest.raises(
        Refused, match=r"no claim that could be checked: set cacheWarmer.periodicCheck.enabled=false"
    ):
        render({"cache": {"inImage": True}, **CHECK})


@pytest.mark.parametrize("schedule", ["", "daily", "* * * *", "0 0 * * * *", "@every 1h", "TZ=UTC 0 0 * * *"])
def test_what_is_no_schedule_is_refused(render: Render, schedule: str) -> None:
    with pytest.raises(Refused, match="schedule"):
        render(values(schedule=schedule))


@pytest.mark.parametrize("schedule", ["@weekly", "*/5 0-3 1,15 JAN-MAR MON", "17 3 ? * 0"])
def test_a_schedule_may_have_words_ranges_and_steps(render: Render, schedule: str) -> None:
    assert cron(render(values(schedule=schedule)))["schedule"] == schedule


def test_the_longest_name_is_cut(render: Render) -> None:
    name = render({**CHECK, "fullnameOverride": "n" * 63}).one("CronJob")["metadata"]["name"]
    assert len(name) <= 52
    assert name.endswith("-check")


def test_readiness_may_depend_on_the_deep_check(render: Render) -> None:
    assert environment(render({"worker": {"readiness": "verified"}}).worker)["QDA_READINESS"] == "verified"


def test_an_overdue_check_fires_only_where_there_is_one(render: Render) -> None:
    rule = {"worker": {"prometheusRule": {"enabled": True, "deepCheckDays": 3}}}
    operator = "--api-versions=monitoring.coreos.com/v1"
    names = [_alerts(render({**rule, **more}, operator)) for more in ({}, CHECK, values(suspend=True))]
    assert all("QdaDeepCheckFailed" in each for each in names), "a repair from the shell leaves findings too"
    assert ["QdaDeepCheckOverdue" in each for each in names] == [False, True, False]
    assert "> 3" in names[1]["QdaDeepCheckOverdue"]


def _alerts(rendered: Rendered) -> dict[str, str]:
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}
