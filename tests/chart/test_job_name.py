"""A Job's template is immutable: another spec gets another name, and the same spec the same name."""

import pytest

from tests.chart.conftest import Object, Render


def _name(render: Render, values: Object | None = None, *options: str) -> str:
    name = render(values, *options).one("Job")["metadata"]["name"]
    assert isinstance(name, str)
    return name


@pytest.mark.parametrize(
    "values",
    [
        {"cacheWarmer": {"rerun": 1}},
        {"image": {"tag": "v2"}},
        {"hub": {"endpoint": "https://hub"}},
        {"hub": {"caBundle": "PEM"}},
        {"cacheWarmer": {"backoffLimit": 1}},
        {"catalog": "apiVersion: qda/v1\nkind: Catalog\nmodels: []\n"},
    ],
)
def test_another_spec_gives_another_job_name(render: Render, values: Object) -> None:
    assert _name(render, values) != _name(render)


@pytest.mark.parametrize(
    "values",
    [
        {"worker": {"replicas": 0, "logLevel": "debug", "models": ["german-ner"]}},
        {"cache": {"size": "99Gi", "keep": False}},
        {"cacheWarmer": {"jobAnnotations": {"a": "b"}}},
    ],
)
def test_values_outside_the_spec_keep_the_job_name(render: Render, values: Object) -> None:
    assert _name(render, values) == _name(render)


def test_an_upgrade_of_the_chart_does_not_run_the_warmer_again(render: Render) -> None:
    assert _name(render, {}, "--is-upgrade") == _name(render)


def test_names_stay_within_the_limits_of_kubernetes(render: Render) -> None:
    rendered = render({"fullnameOverride": "a" * 63})
    for one in rendered.objects:
        assert len(one["metadata"]["name"]) <= 63
    assert rendered.one("Job")["metadata"]["name"].endswith(
        _name(render, {"fullnameOverride": "a" * 63})[-8:]
    )


def test_no_label_of_a_pod_changes_with_the_chart(render: Render) -> None:
    rendered = render()
    for template in (rendered.worker, rendered.warmer):
        assert {"helm.sh/chart", "app.kubernetes.io/version"}.isdisjoint(template["metadata"]["labels"])
