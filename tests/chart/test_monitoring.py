"""Monitors, alerts and the dashboard: they name metrics that the worker has, and each alert fires once.

`promtool` evaluates the alerts on series that a broken worker would have; its tests are skipped where it is not
installed.
"""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import OPERATORS, ROOT, Object, Refused, Render, container

POD: Final = 'namespace="texts",pod="rel-qda-worker-7c9d8b7f9-x2x4z"'
OTHER: Final = 'namespace="texts",pod="rel-qda-worker-6b5c4d3e2-abcde"'
METHOD: Final = 'grpc_method="qda.v1.EntityService/RecognizeEntities"'
METRIC: Final = re.compile(r"\b((?:qda|grpc_server|process)_[a-z_]+)\b")
# For each alert, series of two hours that make it fire: metric, labels, and values as promtool writes them.
FIRING: Final[dict[str, list[tuple[str, str]]]] = {
    "QdaWorkerAbsent": [],
    "QdaModelNotLoaded": [(f'qda_model_loaded{{{POD},model="m"}}', "0x120")],
    "QdaCacheIncomplete": [
        (f"qda_cache_complete{{{POD}}}", "0x120"),
        (f"qda_cache_warm_running{{{POD}}}", "0x120"),
    ],
    "QdaCacheCorrupt": [
        (f'qda_cache_problems{{{POD},model="m",reason="CACHE_CORRUPT"}}', "2x120"),
    ],
    "QdaDeepCheckFailed": [
        (f'qda_cache_deep_check_bad_files{{{POD},model="m",reason="CACHE_CORRUPT"}}', "1x120"),
    ],
    "QdaDeepCheckOverdue": [(f"qda_cache_deep_check_timestamp_seconds{{{POD}}}", "-700000x120")],
    "QdaWarmFailed": [(f'qda_cache_warm_ended{{{POD},reason="NO_SPACE"}}', "1x120")],
    "QdaGenerationsDiffer": [
        (f'qda_worker_build_info{{{POD},generation="a"}}', "1x120"),
        (f'qda_worker_build_info{{{OTHER},generation="b"}}', "1x120"),
    ],
    "QdaQueueSlow": [
        (f'qda_queue_seconds_bucket{{{POD},model="m",le="1"}}', "0+1x120"),
        (f'qda_queue_seconds_bucket{{{POD},model="m",le="5"}}', "0+60x120"),
        (f'qda_queue_seconds_bucket{{{POD},model="m",le="+Inf"}}', "0+60x120"),
    ],
    "QdaTextsRefused": [
        (f'qda_texts_refused_total{{{POD},model="m",reason="QUEUE_FULL"}}', "0+60x120"),
        (f'qda_texts_total{{{POD},model="m",reason="OK"}}', "0+600x120"),
    ],
    "QdaCallsRefused": [
        (f'qda_calls_without_answer_total{{{POD},{METHOD},reason="TOO_MANY_CALLS"}}', "0+6x120"),
        (f"grpc_server_call_started_total{{{POD},{METHOD}}}", "0+100x120"),
    ],
    "QdaCallsFail": [
        (
            f'qda_calls_without_answer_total{{{POD},{METHOD},grpc_status="INTERNAL",reason="MODEL_FAILED"}}',
            "0+2x120",
        ),
        (f"grpc_server_call_started_total{{{POD},{METHOD}}}", "0+100x120"),
        (f'grpc_server_call_started_total{{{POD},grpc_method="grpc.health.v1.Health/Check"}}', "0+900x120"),
    ],
    "QdaRestartNeeded": [(f'qda_cache_restart_needed{{{POD},model="m"}}', "1x120")],
    "QdaCertificateExpires": [
        (f"qda_tls_certificate_expiry_timestamp_seconds{{{POD}}}", "500000x120"),
    ],
}
WELL: Final = [
    (f'qda_worker_build_info{{{POD},generation="a"}}', "1x120"),
    (f'qda_model_loaded{{{POD},model="m"}}', "1x120"),
    (f"qda_cache_complete{{{POD}}}", "1x120"),
    (f'qda_cache_warm_ended{{{POD},reason="OK"}}', "1x120"),
    (f'qda_texts_total{{{POD},model="m",reason="OK"}}', "0+600x120"),
    (f"grpc_server_call_started_total{{{POD},{METHOD}}}", "0+100x120"),
    (
        f'qda_calls_without_answer_total{{{POD},{METHOD},grpc_status="UNAVAILABLE",reason="STREAM_IDLE"}}',
        "0+9x120",
    ),
    (f"qda_tls_certificate_expiry_timestamp_seconds{{{POD}}}", "9000000x120"),
]


def _worker(**values: Any) -> Object:
    return {"worker": values}


def _rules(render: Render, **values: Any) -> Object:
    check = {"cacheWarmer": {"periodicCheck": {"enabled": True}}}
    rendered = render(_worker(prometheusRule={"enabled": True, **values}) | check, *OPERATORS)
    rule = rendered.one("PrometheusRule")
    assert isinstance(rule, dict)
    return rule


def _alerts(rule: Object) -> dict[str, Object]:
    (group,) = rule["spec"]["groups"]
    return {one["alert"]: one for one in group["rules"]}


def _dashboard(render: Render) -> Object:
    (text,) = render(_worker(dashboard={"enabled": True})).one("ConfigMap", "-dashboard")["data"].values()
    dashboard = json.loads(text)
    assert isinstance(dashboard, dict)
    return dashboard


def _queries(dashboard: Object) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def _promtool(*arguments: str | Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _evaluate(tmp_path: Path, rule: Object, series: list[tuple[str, str]], query: str, count: int) -> None:
    """Assert how many alerts fire after 110 minutes."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]), "utf-8")
    samples = [{"labels": "{}", "value": count}] if count else []
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series],
                "promql_expr_test": [{"expr": query, "eval_time": "110m", "exp_samples": samples}],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test, width=10_000), "utf-8")
    _promtool("test", "rules", tmp_path / "test.yaml")


def test_a_pod_monitor_scrapes_the_workers(render: Render) -> None:
    values = _worker(podMonitor={"enabled": True, "interval": "17s", "labels": {"release": "prometheus"}})
    rendered = render(values, *OPERATORS)
    monitor = rendered.one("PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    labels = rendered.worker["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "metrics", "interval": "17s"}
    assert endpoint["port"] in [port["name"] for port in container(rendered.worker)["ports"]]
    assert render().all("PodMonitor") == []
    with pytest.raises(Refused, match="install the Prometheus Operator"):
        render(values)


def test_a_service_monitor_scrapes_each_worker_once(render: Render) -> None:
    monitor = {"enabled": True, "interval": "17s", "labels": {"release": "prometheus"}}
    rendered = render(_worker(serviceMonitor=monitor), *OPERATORS)
    made = rendered.one("ServiceMonitor")
    assert made["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = made["spec"]["endpoints"]
    assert endpoint == {"port": "metrics", "interval": "17s"}
    selected = [
        service["metadata"]["name"]
        for service in rendered.all("Service")
        if made["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        and "metrics" in [port["name"] for port in service["spec"]["ports"]]
    ]
    assert selected == ["rel-qda-worker-headless"]
    assert render().all("ServiceMonitor") == []
    both = _worker(serviceMonitor={"enabled": True}, podMonitor={"enabled": True})
    with pytest.raises(Refused, match="scraped twice"):
        render(both, *OPERATORS)


def test_every_metric_of_alerts_dashboard_and_scaling_is_one_of_the_worker(render: Render) -> None:
    keda = {"enabled": True, "prometheus": {"serverAddress": "http://p"}}
    shared = {"cache": {"accessModes": ["ReadWriteMany"]}, **_worker(keda=keda)}
    (trigger,) = render(shared, *OPERATORS).one("ScaledObject")["spec"]["triggers"]
    queries = [one["expr"] for one in _alerts(_rules(render)).values()]
    queries += [*_queries(_dashboard(render)), trigger["metadata"]["query"]]

    sources = (ROOT / "src/qda_worker/observability").glob("*.py")
    literals = set(re.findall(r'"([a-z_]+)"', "".join(path.read_text("utf-8") for path in sources)))
    for name in {name for query in queries for name in METRIC.findall(query)}:
        base = re.sub(r"_(total|bucket|sum|count|info)$", "", name)
        warm = name.removeprefix("qda_cache_warm_")
        assert base in literals or warm in literals or name.startswith("process_"), name


def test_rules_have_their_labels_and_limits(render: Render) -> None:
    limits = {"queueSeconds": 17, "refusedRatio": 0.17, "errorRatio": 0.018, "certificateDays": 19}
    rule = _rules(render, labels={"release": "prometheus"}, alertLabels={"team": "texts"}, **limits)
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    alerts = _alerts(rule)
    for name, limit in (
        ("QdaQueueSlow", "> 17"),
        ("QdaTextsRefused", "> 0.17"),
        ("QdaCallsFail", "> 0.018"),
        ("QdaCertificateExpires", "< 19"),
    ):
        assert alerts[name]["expr"].endswith(limit)
    assert all(alert["labels"]["team"] == "texts" for alert in alerts.values())
    assert render().all("PrometheusRule") == []


def test_promtool_accepts_the_rules(render: Render, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(_rules(render)["spec"]), "utf-8")
    _promtool("check", "rules", tmp_path / "rules.yaml")


def test_every_alert_has_series_that_make_it_fire(render: Render) -> None:
    assert set(_alerts(_rules(render))) == set(FIRING)


@pytest.mark.parametrize("alert", sorted(FIRING))
def test_an_alert_fires(render: Render, tmp_path: Path, alert: str) -> None:
    query = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    _evaluate(tmp_path, _rules(render), FIRING[alert], query, 1)


def test_no_alert_fires_for_a_worker_that_is_well(render: Render, tmp_path: Path) -> None:
    _evaluate(tmp_path, _rules(render), WELL, "count(ALERTS)", 0)


def test_an_incomplete_cache_is_no_alert_while_a_warmer_fills_it(render: Render, tmp_path: Path) -> None:
    warming = [
        (f"qda_cache_complete{{{POD}}}", "0x120"),
        (f'qda_model_loaded{{{POD},model="m"}}', "0x120"),
        (f"qda_cache_warm_running{{{POD}}}", "1x120"),
        (f'qda_worker_build_info{{{POD},generation="a"}}', "1x120"),
    ]
    _evaluate(tmp_path, _rules(render), warming, "count(ALERTS)", 0)


def test_workers_with_an_older_catalog_than_the_release_are_an_alert(render: Render, tmp_path: Path) -> None:
    """As after a rollout that could not start a pod: all workers serve the same generation."""
    text = "apiVersion: qda/v1\nkind: Catalog\nmodels:\n- key: m\n"
    rule = render({"catalog": text, **_worker(prometheusRule={"enabled": True})}, *OPERATORS).one(
        "PrometheusRule"
    )
    query = 'count(ALERTS{alertname="QdaGenerationsDiffer",alertstate="firing"})'
    older, same, unknown = (
        [(f'qda_worker_build_info{{{POD},generation="a",catalog="{catalog}"}}', "1x120")]
        for catalog in ("0" * 64, hashlib.sha256(text.encode()).hexdigest(), "")
    )
    _evaluate(tmp_path, rule, older, query, 1)
    _evaluate(tmp_path, rule, same, query, 0)
    _evaluate(tmp_path, rule, unknown, query, 0)


@pytest.mark.parametrize("length", [10, 46, 47, 50, 56, 57, 58, 63])
def test_alerts_find_the_pods_of_a_release_with_a_long_name(render: Render, length: int) -> None:
    """The names are made as Kubernetes makes them: all before the last five characters has at most 58."""
    name = ("release-of-a-team-" * 4)[: length - 1] + "x"
    rule = render({"fullnameOverride": name, **_worker(prometheusRule={"enabled": True})}, *OPERATORS).one(
        "PrometheusRule"
    )
    (pattern,) = {
        found for one in _alerts(rule).values() for found in re.findall(r'pod=~"([^"]+)"', one["expr"])
    }
    for template in ("5d6f8", "694c97bcf7"):
        assert re.fullmatch(pattern, f"{name}-{template}-"[:58] + "x2x4z")
    if length < 47:
        assert not re.fullmatch(pattern, f"{name}-canary-694c97bcf7-x2x4z"), "another release"


@pytest.mark.parametrize(
    ("worker", "is_watched"),
    [
        ({"replicas": 0}, False),
        ({"replicas": None}, True),
        ({"keda": {"enabled": True, "minReplicas": 0, "triggers": [{"type": "cron"}]}}, False),
        ({"keda": {"enabled": True, "triggers": [{"type": "cron"}]}}, True),
    ],
)
def test_no_worker_is_an_alert_only_where_one_is_intended(
    render: Render, worker: Object, is_watched: bool
) -> None:
    values = {
        "cache": {"accessModes": ["ReadWriteMany"]},
        **_worker(prometheusRule={"enabled": True}, **worker),
    }
    rule = render(values, *OPERATORS).one("PrometheusRule")
    assert ("QdaWorkerAbsent" in _alerts(rule)) is is_watched


def test_the_dashboard_has_panels_of_valid_queries_side_by_side(render: Render, tmp_path: Path) -> None:
    dashboard = _dashboard(render)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places) > 10
    record = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(_queries(dashboard))
    ]
    rules = {"groups": [{"name": "panels", "rules": record}]}
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump(rules), "utf-8")
    _promtool("check", "rules", "--lint=none", tmp_path / "panels.yaml")


def test_the_dashboard_is_found_by_its_label_and_belongs_to_its_release(render: Render) -> None:
    dashboard = {"enabled": True, "labels": {"find-it": "1"}, "annotations": {"grafana_folder": "Texts"}}
    made = render(_worker(dashboard=dashboard)).one("ConfigMap", "-dashboard")
    assert made["metadata"]["labels"]["find-it"] == "1"
    assert made["metadata"]["annotations"] == {"grafana_folder": "Texts"}
    other = render({**_worker(dashboard=dashboard), "fullnameOverride": "other"}).one(
        "ConfigMap", "-dashboard"
    )
    first, second = (json.loads(next(iter(one["data"].values())))["uid"] for one in (made, other))
    assert first != second
    assert not any(one["metadata"]["name"].endswith("-dashboard") for one in render().all("ConfigMap"))
