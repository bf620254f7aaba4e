"""Constants that the chart repeats are equal to those of the code."""

import io
import json
import re
import tomllib
from typing import Final

import pytest
import yaml

from cache_warmer.cli import cache_warmer
from cache_warmer.kubernetes import pod
from cache_warmer.options import HUB, REFERENCE, STALL_TIMEOUT, WAIT, WHEEL_BASE
from model_cache.catalog.parse import load_catalog
from model_cache.cli.options import CACHE, CATALOG, COMMAND_VARIABLES, IMPORT_COMMAND, RUN_DIRECTORY
from model_cache.reasons import Reason
from qda_worker import serve_options
from qda_worker.cli import qda_worker
from qda_worker.cpu import CPU_REQUEST_VARIABLE
from qda_worker.serve_options import THREADS, TLS_OPTIONS
from qda_worker.server.health import LIVENESS, READINESS_PROBE, STARTUP_PROBE
from tests.chart.conftest import CHART, ROOT, Refused, Render, container, environment

SCRATCH: Final = {"HF_HOME", "HF_XET_CACHE"}


def test_the_job_fails_at_once_for_each_reason_that_retries_cannot_solve(render: Render) -> None:
    rules = render().one("Job")["spec"]["podFailurePolicy"]["rules"]
    (failing,) = [rule for rule in rules if rule["action"] == "FailJob"]

    assert failing["onExitCodes"]["containerName"] == container(render().warmer)["name"]
    permanent = {
        reason.exit_code for reason in Reason if reason is not Reason.OK and not reason.retryable
    } - {Reason.GATE_FAILED.exit_code}  # of the steps that make and publish forms alone
    assert failing["onExitCodes"]["values"] == sorted(permanent)


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]


def test_worker_models_is_compared_with_the_keys_of_the_built_in_catalog() -> None:
    line = re.search(r"\$known := list (.*) }}", (CHART / "templates/_validate.tpl").read_text("utf-8"))
    assert line is not None
    assert re.findall(r'"([^"]+)"', line[1]) == [model.key for model in load_catalog(None).models]


def test_each_variable_of_the_worker_is_one_that_it_reads(render: Render) -> None:
    tls = {"secretName": "s", "clientCaSecretName": "c"}
    values = {"worker": {"models": ["german-ner"], "tls": tls, "threads": 2}, "catalog": CATALOG_TEXT}
    template = render(values).worker
    known = {
        option.variable
        for option in vars(serve_options).values()
        if hasattr(option, "variable") and hasattr(option, "flag")
    }
    known |= {CACHE.variable, CATALOG.variable, "QDA_MODELS", "QDA_LOG_LEVEL", serve_options.REFLECTION}
    known |= {option.variable for option in TLS_OPTIONS}
    known |= {*COMMAND_VARIABLES.values(), IMPORT_COMMAND, RUN_DIRECTORY, CPU_REQUEST_VARIABLE}
    ours = {name for name in environment(template) if name.startswith("QDA_")}
    assert ours
    assert ours <= known


def test_the_worker_gets_its_cpu_request_in_the_unit_that_it_reads(render: Render) -> None:
    for values in ({}, {"resources": {"requests": {"cpu": None}}}, {"threads": 3}):
        variables = environment(render({"worker": values}).worker)
        assert variables[CPU_REQUEST_VARIABLE] == {
            "resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}
        }
        assert variables.get(THREADS.variable) == ("3" if values.get("threads") else None)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", 1025])
def test_a_number_of_threads_that_the_worker_would_refuse_is_refused(render: Render, threads: object) -> None:
    with pytest.raises(Refused, match="threads"):
        render({"worker": {"threads": threads}})


def test_each_variable_of_the_warmer_is_one_that_it_reads(render: Render) -> None:
    hub = {"endpoint": "http://h", "wheelBase": "http://w", "tokenSecret": "s", "proxy": "http://p"}
    rendered = render({"hub": hub, "catalog": CATALOG_TEXT})
    names = environment(rendered.warmer).keys() | rendered.warmer_settings.keys()
    known = {HUB.variable, WHEEL_BASE.variable, STALL_TIMEOUT.variable, WAIT.variable}
    known |= {CACHE.variable, CATALOG.variable}
    known |= {pod.NAMESPACE, pod.JOB, pod.DEPLOYMENT, pod.TOKEN_SECRET, pod.TOKEN, "QDA_LOG_LEVEL"}
    known |= {pod.LEASE, pod.CLAIM, REFERENCE.variable}
    assert known <= names
    assert {name for name in names if name.startswith("QDA_")} <= known


def test_the_programs_accept_the_arguments_of_the_chart() -> None:
    """Checked by the programs' own parsers: an unknown option is refused before --help is reached."""
    for program, template_path in (
        (cache_warmer, "cache-warmer/_containers.tpl"),
        (qda_worker, "worker/deployment.yaml"),
    ):
        text = (CHART / "templates" / template_path).read_text("utf-8")
        found = [arguments for arguments in re.findall(r"args: \[(.*)\]", text) if "{{" not in arguments]
        assert found
        for arguments in found:
            with pytest.raises(SystemExit) as end:
                program([*arguments.split(", "), "--help"])
            assert end.value.code in (0, None)


def test_ports_and_probes_are_those_that_the_worker_listens_on(render: Render) -> None:
    worker = container(render().worker)
    ports = {port["name"]: port["containerPort"] for port in worker["ports"]}
    listening = environment(render().worker)

    assert ports == {"grpc": 50051, "health": 50052, "metrics": 9464}
    for name, variable in (
        ("grpc", "QDA_LISTEN"),
        ("health", "QDA_HEALTH_LISTEN"),
        ("metrics", "QDA_METRICS_LISTEN"),
    ):
        assert listening[variable] == f"[::]:{ports[name]}"
    for probe, service in (
        ("startupProbe", STARTUP_PROBE),
        ("livenessProbe", LIVENESS),
        ("readinessProbe", READINESS_PROBE),
    ):
        assert worker[probe]["grpc"] == {"port": ports["health"], "service": service}
    assert worker["livenessProbe"]["timeoutSeconds"] == 5


def test_the_environment_for_other_projects_is_what_cache_warmer_env_prints(render: Render) -> None:
    out = io.StringIO()
    assert cache_warmer(["env", "--cache", "/cache", "--format", "json"], {}, out) == 0
    data = render().one("ConfigMap", "cache-env")["data"]

    assert {name: value for name, value in data.items() if name not in SCRATCH} == json.loads(out.getvalue())
    assert all(data[name].startswith("/tmp/") for name in SCRATCH), "never on the claim, which is read-only"


def test_the_grace_period_covers_drain_and_shutdown(render: Render) -> None:
    template = render({"worker": {"drainDelaySeconds": 7, "shutdownGraceSeconds": 40}}).worker
    assert template["spec"]["terminationGracePeriodSeconds"] == 57
    assert environment(template)["QDA_DRAIN_DELAY"] == "7s"
    assert environment(template)["QDA_SHUTDOWN_GRACE"] == "40s"


def test_the_progress_deadline_exceeds_that_of_the_warmer() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert values["worker"]["progressDeadlineSeconds"] > values["cacheWarmer"]["activeDeadlineSeconds"]


CATALOG_TEXT: Final = (ROOT / "src/model_cache/data/default.yaml").read_text("utf-8")
