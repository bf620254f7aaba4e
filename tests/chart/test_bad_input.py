"""Wrong values are refused with a sentence that names the remedy."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import CHART, Object, Refused, Render

CATALOG: Final = "apiVersion: qda/v1\nkind: Catalog\nmodels:\n  - key: one\n"
PINNED: Final = f"{CATALOG}    huggingface: {{repository: their/model, revision: {'b' * 40}}}\n"


def _lock(key: str = "one", source: str = "their/model", revision: str = "b" * 40) -> str:
    return json.dumps({"models": {key: {"source": source, "revision": revision, "files": {}}}})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"worker": {"replicas": 2}}, "or cache.sameNode=true to run all workers on the claim's node"),
        ({"cache": {"accessModes": ["ReadWriteOncePod"]}}, "use ReadWriteOnce or ReadWriteMany"),
        ({"cache": {"accessModes": ["ReadOnlyMany"]}}, "or set cacheWarmer.enabled=false"),
        (
            {"cache": {"inImage": True}, "cacheWarmer": {"shell": True}},
            "there is no claim that the shell could write to",
        ),
        ({"cache": {"inImage": True, "existingClaim": "theirs"}}, "so unset one of them"),
        (
            {"worker": {"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}},
            "of which the cluster accepts one",
        ),
        (
            {"worker": {"terminationGracePeriodSeconds": 29}},
            "but drainDelaySeconds and shutdownGraceSeconds need 30",
        ),
        ({"hub": {"caBundle": "PEM", "caSecret": "s"}}, "hub.caBundle and hub.caSecret are set"),
        ({"catalogLock": "{}"}, "catalogLock is set, but catalog is not"),
        ({"catalog": CATALOG, "catalogLock": "{"}, "catalogLock is not the lock of a catalog"),
        (
            {"catalog": PINNED, "catalogLock": _lock(revision="a" * 40)},
            f"another version of one ({'a' * 40} instead of {'b' * 40})",
        ),
        ({"catalog": PINNED, "catalogLock": _lock(source="our/copy")}, "or no lock with --set catalogLock=."),
        ({"catalog": "a: [b"}, "catalog is not YAML"),
        ({"catalog": "just words"}, "check it with `cache-warmer plan --catalog FILE --no-probe`"),
        ({"catalog": "apiVersion: qda/v2\nkind: Catalog\nmodels: []\n"}, "it needs apiVersion: qda/v1"),
        (
            {"catalog": CATALOG + "#" * 250_000},
            "they are stored in annotations of the pods, which hold 245760",
        ),
        ({"worker": {"models": ["german-nre"]}}, "it has german-sentiment, german-ner"),
        (
            {"catalog": CATALOG, "worker": {"models": ["two"]}},
            'contains "two", which is not in the catalog: it has one',
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(render: Render, values: Object, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        render(values)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"cache": {"sameNode": True}, "worker": {"replicas": 2}},
        {"catalog": PINNED, "catalogLock": _lock()},
        {"catalog": PINNED, "catalogLock": _lock("two", revision="a" * 40)},  # of a model that was removed
        {"cache": {"accessModes": ["ReadWriteMany"]}, "worker": {"replicas": 2}},
        {"cache": {"accessModes": ["ReadOnlyMany"]}, "cacheWarmer": {"enabled": False}},
        {"catalog": CATALOG, "worker": {"models": ["one"]}},
        {"catalog": CATALOG + "#" * 200_000},
        {"cacheWarmer": {"wait": 5, "stallTimeout": 90}, "worker": {"maxConnectionAge": 900}},  # by --set
    ],
)
def test_valid_values_are_accepted(render: Render, values: Object) -> None:
    assert render(values).one("Deployment")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"wroker": {}}, "wroker"),
        ({"worker": {"replica": 1}}, "replica"),
        ({"cache": {"accessMode": ["ReadWriteMany"]}}, "accessMode"),
        ({"cacheWarmer": {"image": {"tags": "x"}}}, "tags"),
        ({"worker": {"serviceAccount": {"craete": True}}}, "craete"),
        ({"worker": {"replicas": "2"}}, "replicas"),
        ({"cache": {"size": "16 GB"}}, "size"),
        ({"cache": {"image": {"reference": "docker://models:one"}}}, "reference"),
        ({"cache": {"image": {"pullPolicy": "Sometimes"}}}, "pullPolicy"),
        ({"cache": {"accessModes": ["RWX"]}}, "accessModes"),
        ({"hub": {"endpoint": "hub.example.org"}}, "endpoint"),
        ({"cacheWarmer": {"wait": "soon"}}, "wait"),
        ({"worker": {"image": {"digest": "abc"}}}, "digest"),
        ({"worker": {"readiness": "always"}}, "readiness"),
        ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "commonLabels"),
        ({"worker": {"podLabels": {"qda-worker/claim": "x"}}}, "podLabels"),
        ({"worker": {"service": {"port": 0}}}, "port"),
        ({"worker": {"livenessProbe": {"exec": {}}}}, "exec"),
        ({"worker": {"strategy": {"type": "OnDelete"}}}, "strategy"),
        ({"worker": {"strategy": {"rollingUpdate": {"maxSurge": "some"}}}}, "maxSurge"),
    ],
)
def test_a_typo_or_a_wrong_kind_of_value_is_refused_by_name(
    render: Render, values: Object, named: str
) -> None:
    with pytest.raises(Refused) as refused:
        render(values)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"worker": {"keda": None}}, "keda"),
        ({"cache": {"image": None}}, "image"),
        ({"worker": {"service": {"port": None}}}, "port"),
        ({"cacheWarmer": {"networkPolicy": None}}, "networkPolicy"),
    ],
)
def test_values_of_a_former_chart_are_refused_by_the_name_that_they_lack(
    render: Render, values: Object, named: str
) -> None:
    with pytest.raises(Refused, match=rf"missing propert(y|ies) .*{named}"):
        render(values)


def test_the_schema_rejects_unknown_keys_of_the_chart() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert schema["$schema"].startswith("http://json-schema.org/draft-07/"), "Helm 3 has no later one"
    for path, part in _objects(schema):
        assert part.get("additionalProperties") is False, path


def _objects(part: Any, path: str = "values") -> Iterator[tuple[str, Object]]:
    if "properties" in part:
        yield path, part
        for name, child in part["properties"].items():
            yield from _objects(child, f"{path}.{name}")


def test_schema_and_values_have_the_same_names() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    for path, part in _objects(schema):
        found = values
        for name in path.split(".")[1:]:
            found = found[name]
        assert set(part["properties"]) - {"global"} == set(found), path
