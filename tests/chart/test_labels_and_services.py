"""Labels of all objects, further objects, and the two services."""

from tests.chart.conftest import Render


def test_common_labels_are_on_every_object_and_pod_but_those_of_the_job_and_in_no_selector(
    render: Render,
) -> None:
    common = {"team": "texts"}
    values = {
        "commonLabels": common,
        "cacheWarmer": {"shell": True},
        "cache": {"accessModes": ["ReadWriteMany"]},
    }
    rendered = render({**values, "worker": {"replicas": 2}})
    for one in (*rendered.objects, *(one["spec"]["template"] for one in rendered.all("Deployment"))):
        assert one["metadata"]["labels"]["team"] == "texts", one
    # A Job's pod template is immutable: a common label there would rename the Job with every change.
    assert "team" not in rendered.warmer["metadata"]["labels"]
    for one in (*rendered.all("Deployment"), *rendered.all("PodDisruptionBudget")):
        assert one["spec"]["selector"]["matchLabels"].keys().isdisjoint(common)


def test_labels_of_one_kind_of_pods_override_the_common_ones(render: Render) -> None:
    of_pods = {"worker": {"podLabels": {"team": "b"}}, "cacheWarmer": {"podLabels": {"team": "c"}}}
    rendered = render({"commonLabels": {"team": "a"}, **of_pods})
    assert rendered.worker["metadata"]["labels"]["team"] == "b"
    assert rendered.warmer["metadata"]["labels"]["team"] == "c"
    assert rendered.one("Deployment")["metadata"]["labels"]["team"] == "a"


def test_further_objects_are_templates(render: Render) -> None:
    text = "kind: Secret\nmetadata:\n  name: {{ .Release.Name }}-text"
    rendered = render(
        {"extraObjects": [{"kind": "Secret", "metadata": {"name": "{{ .Release.Name }}-map"}}, text]}
    )
    assert [one["metadata"]["name"] for one in rendered.all("Secret")] == ["rel-map", "rel-text"]


def test_the_headless_service_has_the_port_of_the_workers(render: Render) -> None:
    rendered = render({"worker": {"service": {"port": 443, "appProtocol": ""}}})
    for suffix, port in (("qda-worker", 443), ("-headless", 50051)):
        (only,) = rendered.one("Service", suffix)["spec"]["ports"]
        assert only == {"name": "grpc", "port": port, "targetPort": "grpc"}
    (test,) = rendered.one("Pod")["spec"]["containers"]
    assert {"name": "QDA_TARGET", "value": "rel-qda-worker.texts.svc:443"} in test["env"]
