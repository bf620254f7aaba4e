"""Prepared forms: the Job makes and publishes what the catalog asks for, and is unchanged if it asks for nothing."""

import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from qda_worker.cpu import CPU_REQUEST_VARIABLE
from tests.chart.conftest import Object, Render, Rendered, environment
from tests.chart.schemas import object_problems

FP32: Final = (
    "apiVersion: qda/v1\nkind: Catalog\nmodels:\n  - key: mood\n    serving: {precision: fp32}\n"
    "  - key: german-ner\n"
)
ASKS: Final = (
    "apiVersion: qda/v1\nkind: Catalog\nmodels:\n  - key: mood\n    serving:\n      precision: int8\n"
    "  - key: german-ner\n  - key: vectors.v2\n    serving: {precision: bf16, default: true}\n"
)


def pod(rendered: Rendered) -> Object:
    spec = rendered.warmer["spec"]
    assert isinstance(spec, dict)
    return spec


def steps(rendered: Rendered) -> dict[str, Object]:
    """Return the containers of the Job by name, in the order in which they run."""
    spec = pod(rendered)
    return {one["name"]: one for one in [*spec.get("initContainers", []), *spec["containers"]]}


def mounts(container: Object) -> dict[str, bool]:
    """Return the mounted volumes, and whether each is read-only."""
    return {one["name"]: one.get("readOnly", False) for one in container["volumeMounts"]}


def variables(container: Object) -> dict[str, Any]:
    return {one["name"]: one.get("value") for one in container["env"]}


@pytest.mark.parametrize("values", [{}, {"catalog": FP32}], ids=["default", "fp32"])
def test_without_such_a_catalog_the_job_only_warms(render: Render, values: Object) -> None:
    spec = pod(render(values))
    assert [one["name"] for one in spec["containers"]] == ["warmer"]
    assert "initContainers" not in spec
    assert "forms" not in [one["name"] for one in spec["volumes"]]
    assert (
        render({**values, "cacheWarmer": {"prepare": {"enabled": False}}}).objects == render(values).objects
    )


def test_the_job_warms_then_makes_each_form_then_publishes_them(render: Render) -> None:
    found = steps(render({"catalog": ASKS}))

    assert list(found) == ["warmer", "prepare-0", "prepare-1", "publish"]
    assert found["warmer"]["args"] == ["warm"]
    assert [found[name]["args"] for name in ("prepare-0", "prepare-1")] == [
        ["mood", "int8"],
        ["vectors.v2", "bf16"],
    ]
    assert found["publish"]["args"] == ["publish", "--all", "/forms"]
    assert [one["image"].partition(":")[0] for one in found.values()] == [
        "qda-cache-warmer",
        "qda-worker",
        "qda-worker",
        "qda-cache-warmer",
    ]


def test_a_form_that_is_there_is_not_made_again_and_one_that_fails_does_not_end_the_job(
    render: Render, tmp_path: Path
) -> None:
    command = steps(render({"catalog": ASKS}))["prepare-0"]["command"]
    assert command[:2] == ["sh", "-c"]
    (tmp_path / "qda-worker").write_text('#!/bin/sh\necho qda-worker "$@"\n')
    said = {}
    for code in (0, 10):
        (tmp_path / "cache-check").write_text(f'#!/bin/sh\necho "a table for $*"\nexit {code}\n')
        for program in tmp_path.iterdir():
            program.chmod(0o755)
        done = subprocess.run(
            [*command, "mood", "int8"],
            env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        said[code] = done.stdout
    assert said == {
        0: "the cache has a prepared form of mood in int8\n",
        10: "qda-worker prepare --model mood --precision int8 --out /forms/mood --failure /forms/mood.failure.json\n",
    }


def test_the_number_of_threads_follows_the_request(render: Render) -> None:
    (variable,) = [
        one
        for one in steps(render({"catalog": ASKS}))["prepare-0"]["env"]
        if one["name"] == CPU_REQUEST_VARIABLE
    ]
    assert variable["valueFrom"]["resourceFieldRef"] == {"resource": "requests.cpu", "divisor": "1m"}


def test_only_the_warmers_image_writes_to_the_cache(render: Render) -> None:
    found = steps(render({"catalog": ASKS}))
    assert {name: mounts(one)["cache"] for name, one in found.items()} == {
        "warmer": False,
        "prepare-0": True,
        "prepare-1": True,
        "publish": False,
    }
    assert mounts(found["prepare-0"])["forms"] is False
    assert mounts(found["publish"])["forms"] is True
    assert "forms" not in mounts(found["warmer"])


def test_the_publication_has_the_lease_and_no_token_of_the_hub(render: Render) -> None:
    hub = {"tokenSecret": "s", "caBundle": "PEM"}
    found = steps(render({"catalog": ASKS, "hub": hub}))
    publish, prepare = variables(found["publish"]), variables(found["prepare-0"])

    assert publish["QDA_KUBERNETES_LEASE"] == variables(found["warmer"])["QDA_KUBERNETES_LEASE"]
    assert "HF_TOKEN" in variables(found["warmer"])
    assert {"HF_TOKEN", "QDA_TOKEN_SECRET"}.isdisjoint(publish.keys() | prepare.keys())
    assert "ca" not in mounts(found["publish"])
    assert prepare["HF_HUB_OFFLINE"] == "1"
    assert "QDA_KUBERNETES_LEASE" not in prepare
    assert "envFrom" not in found["prepare-0"]
    assert publish["QDA_CATALOG"] == prepare["QDA_CATALOG"] == "/etc/qda-worker/catalog.yaml"


def test_every_step_meets_the_restricted_standard(render: Render) -> None:
    for one in steps(render({"catalog": ASKS})).values():
        context = one["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert one["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_permanent_failures_of_each_step_fail_the_job(render: Render) -> None:
    rules = render({"catalog": ASKS}).one("Job")["spec"]["podFailurePolicy"]["rules"][1:]
    codes = {one["onExitCodes"]["containerName"]: one["onExitCodes"]["values"] for one in rules}

    assert list(codes) == ["warmer", "publish", "prepare-0", "prepare-1"]
    assert 14 in codes["publish"]
    assert 14 in codes["prepare-1"]
    assert 14 not in codes["warmer"]
    assert {22, 24, 25, 33, 40, 41}.isdisjoint({code for each in codes.values() for code in each})


def test_the_step_has_its_own_resources_and_volume(render: Render) -> None:
    prepare = {"resources": {"limits": {"memory": "17Gi"}}, "sizeLimit": "17Gi"}
    rendered = render({"catalog": ASKS, "cacheWarmer": {"prepare": prepare}})
    found = steps(rendered)

    assert found["prepare-0"]["resources"]["limits"] == {"memory": "17Gi"}
    assert found["publish"]["resources"] == found["warmer"]["resources"]
    assert found["publish"]["resources"]["limits"] == {"memory": "512Mi"}
    (volume,) = [one for one in pod(rendered)["volumes"] if one["name"] == "forms"]
    assert volume == {"name": "forms", "emptyDir": {"sizeLimit": "17Gi"}}


def test_the_job_meets_the_schema_of_kubernetes(render: Render) -> None:
    values = {"catalog": ASKS, "cacheWarmer": {"prepare": {"sizeLimit": "17Gi"}}}
    job = render(values).one("Job")
    assert object_problems(job) == object_problems(job, oldest=True) == []


def test_the_step_can_be_switched_off(render: Render) -> None:
    found = steps(render({"catalog": ASKS, "cacheWarmer": {"prepare": {"enabled": False}}}))
    assert list(found) == ["warmer"]


def test_init_containers_of_the_user_run_first(render: Render) -> None:
    own = {"initContainers": [{"name": "own", "image": "x"}]}
    assert next(iter(steps(render({"catalog": ASKS, "cacheWarmer": own})))) == "own"


def test_the_job_of_a_catalog_that_asks_for_forms_follows_the_workers_image(render: Render) -> None:
    other = {"worker": {"image": {"tag": "other"}}}
    asks = [render({"catalog": ASKS, **more}).one("Job")["metadata"]["name"] for more in ({}, other)]
    fp32 = [render({"catalog": FP32, **more}).one("Job")["metadata"]["name"] for more in ({}, other)]

    assert asks[0] != asks[1]
    assert fp32[0] == fp32[1]


def test_the_shell_and_the_periodic_check_make_no_forms(render: Render) -> None:
    values = {"catalog": ASKS, "cacheWarmer": {"shell": True, "periodicCheck": {"enabled": True}}}
    rendered = render(values)
    shell = rendered.one("Deployment", "-shell")["spec"]["template"]["spec"]
    check = rendered.one("CronJob")["spec"]["jobTemplate"]["spec"]
    for spec in (shell, check["template"]["spec"]):
        assert [one["name"] for one in spec["containers"]] == ["warmer"]
        assert "initContainers" not in spec
    assert len(check["podFailurePolicy"]["rules"]) == 2


def test_workers_name_the_command_that_makes_a_form_only_if_the_catalog_asks_for_one(render: Render) -> None:
    command = environment(render({"catalog": ASKS}).worker)["QDA_PREPARE_COMMAND"]
    assert "cacheWarmer.prepare.enabled=true" in command
    assert "cacheWarmer.rerun=" in command
    assert "QDA_PREPARE_COMMAND" not in environment(render({"catalog": FP32}).worker)
    off = {"catalog": ASKS, "cacheWarmer": {"prepare": {"enabled": False}}}
    assert render(off).worker == render({"catalog": ASKS}).worker
