"""The number of workers, who owns it, and how they leave their nodes."""

from typing import Any, Final

import pytest

from tests.chart.conftest import OPERATORS, Object, Refused, Render

SHARED: Final[Object] = {"accessModes": ["ReadWriteMany"]}


def _workers(**values: Any) -> Object:
    return {"cache": SHARED, "worker": values}


def test_without_worker_replicas_an_upgrade_keeps_the_number_of_workers(render: Render) -> None:
    assert render().one("Deployment")["spec"]["replicas"] == 1
    assert "replicas" not in render(_workers(replicas=None)).one("Deployment")["spec"]


def test_recreate_has_no_limits_of_a_rolling_update(render: Render) -> None:
    recreate = render({"worker": {"strategy": {"type": "Recreate"}}}).one("Deployment")["spec"]["strategy"]
    assert recreate == {"type": "Recreate"}, "the API server refuses rollingUpdate beside it"
    assert render().one("Deployment")["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


@pytest.mark.parametrize("replicas", [2, None])
def test_several_workers_on_several_nodes_are_evicted_one_by_one(
    render: Render, replicas: int | None
) -> None:
    rendered = render(_workers(replicas=replicas))
    budget = rendered.one("PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"].items() <= rendered.worker["metadata"]["labels"].items()
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize(
    "values",
    [{}, _workers(replicas=1), {"cache": {"sameNode": True}, "worker": {"replicas": 2}}],
    ids=["default", "one worker", "one node"],
)
def test_a_budget_that_would_only_block_a_drain_is_not_rendered(render: Render, values: Object) -> None:
    assert render(values).all("PodDisruptionBudget") == []


def test_a_budget_has_the_given_number_and_can_be_left_out(render: Render) -> None:
    def budget(**values: Any) -> list[Object]:
        rendered = render(_workers(replicas=2, podDisruptionBudget=values))
        return [one["spec"] for one in rendered.all("PodDisruptionBudget")]

    (least,) = budget(minAvailable="50%")
    assert (least["minAvailable"], "maxUnavailable" in least) == ("50%", False)
    (most,) = budget(maxUnavailable=0)
    assert most["maxUnavailable"] == 0
    assert budget(enabled=False) == []


def test_workers_prefer_different_nodes_if_the_claim_allows_it(render: Render) -> None:
    rendered = render(_workers(replicas=2))
    (constraint,) = rendered.worker["spec"]["topologySpreadConstraints"]
    labels = rendered.worker["metadata"]["labels"]
    assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()
    assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    assert "topologySpreadConstraints" not in render().worker["spec"]
    assert "topologySpreadConstraints" not in render(_workers(topologySpreadConstraints=[])).worker["spec"]


def test_another_number_of_workers_does_not_restart_them(render: Render) -> None:
    assert render(_workers(replicas=2)).worker == render(_workers(replicas=1)).worker


def test_a_constraint_without_selector_is_about_the_workers(render: Render) -> None:
    own = {"maxSkew": 1, "topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
    ours = {"maxSkew": 2, "topologyKey": "zone"}
    first, second = render(_workers(topologySpreadConstraints=[own, ours])).worker["spec"][
        "topologySpreadConstraints"
    ]
    assert first == own
    assert second["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"


def test_an_autoscaler_owns_the_number_of_workers(render: Render) -> None:
    external = {"type": "External", "external": {"metric": {"name": "seconds"}}}
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 17}}
    scaling = {"enabled": True, "minReplicas": 2, "maxReplicas": 7, "behavior": behavior}
    rendered = render(
        _workers(autoscaling={**scaling, "targetCPUUtilizationPercentage": 61, "metrics": [external]})
    )
    deployment, scaler = rendered.one("Deployment"), rendered.one("HorizontalPodAutoscaler")["spec"]

    assert "replicas" not in deployment["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (scaler["minReplicas"], scaler["maxReplicas"], scaler["behavior"]) == (2, 7, behavior)
    cpu, further = scaler["metrics"]
    assert cpu["resource"]["target"] == {"type": "Utilization", "averageUtilization": 61}
    assert further == external
    assert rendered.all("PodDisruptionBudget"), "there may be several"
    by_queue = render(
        _workers(autoscaling={**scaling, "targetCPUUtilizationPercentage": None, "metrics": [external]})
    )
    assert by_queue.one("HorizontalPodAutoscaler")["spec"]["metrics"] == [external]
    assert render().all("HorizontalPodAutoscaler") == []


def test_keda_scales_by_the_time_in_the_queue_of_this_release(render: Render) -> None:
    trigger = {"type": "cron", "metadata": {"desiredReplicas": "3"}}
    prometheus = {"serverAddress": "http://prometheus:9090", "targetQueueSeconds": 0.25}
    keda = {
        "enabled": True,
        "minReplicas": 2,
        "maxReplicas": 7,
        "pollingInterval": 17,
        "cooldownPeriod": 18,
        "prometheus": prometheus,
        "triggers": [trigger],
        "annotations": {"a/keda": "1"},
    }
    rendered = render(_workers(keda=keda), *OPERATORS)
    deployment, scaled = rendered.one("Deployment"), rendered.one("ScaledObject")

    assert "replicas" not in deployment["spec"]
    assert scaled["metadata"]["annotations"] == {"a/keda": "1"}
    spec = scaled["spec"]
    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 7)
    assert (spec["pollingInterval"], spec["cooldownPeriod"]) == (17, 18)
    queue, further = spec["triggers"]
    assert further == trigger
    assert queue["metricType"] == "Value"
    assert queue["metadata"]["serverAddress"] == "http://prometheus:9090"
    assert queue["metadata"]["threshold"] == "0.25"
    assert 'qda_queue_seconds_bucket{namespace="texts",pod=~"rel-qda-worker-' in queue["metadata"]["query"]

    own = {**keda, "prometheus": {**prometheus, "query": "up"}}
    queue, _ = render(_workers(keda=own), *OPERATORS).one("ScaledObject")["spec"]["triggers"]
    assert queue["metadata"]["query"] == "up"


@pytest.mark.parametrize(
    ("worker", "sentence"),
    [
        ({"keda": {"enabled": True}}, "worker.keda.prometheus.serverAddress or triggers"),
        ({"autoscaling": {"enabled": True}, "keda": {"enabled": True}}, "set one to false"),
        ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "which is less than minReplicas, 9"),
        (
            {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": None}},
            "there is nothing to scale by",
        ),
        (
            {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
            "of which it is a percentage",
        ),
    ],
)
def test_scaling_that_cannot_work_is_refused(render: Render, worker: Object, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        render(_workers(**worker), *OPERATORS)
    assert sentence in str(refused.value)


def test_scaling_on_a_claim_of_one_node_is_refused_with_its_own_values(render: Render) -> None:
    with pytest.raises(Refused, match=r"worker\.autoscaling\.maxReplicas is 4"):
        render({"worker": {"autoscaling": {"enabled": True}}})
    one_node = render({"cache": {"sameNode": True}, "worker": {"autoscaling": {"enabled": True}}})
    assert one_node.all("HorizontalPodAutoscaler")


def test_keda_is_refused_where_it_is_not_installed(render: Render) -> None:
    with pytest.raises(Refused, match="install KEDA"):
        render(_workers(keda={"enabled": True}))
