"""Another project's Deployment on the claim: plain libraries, read-only, offline, as another user."""

from typing import Any, Final

from tests.cluster.demo_hub import RESTRICTED_CONTAINER
from tests.cluster.kubectl import Kubectl
from tests.cluster.release import Release

PLAIN_CALLS: Final = """
import os, time
import spacy
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer
assert os.getuid() == 23456
name = "qda-demo/german-sentiment-bert"
AutoTokenizer.from_pretrained(name)
model = AutoModelForSequenceClassification.from_pretrained(name)
assert model.config.num_labels == 3
assert SentenceTransformer("qda-demo/multilingual-paraphrase").encode(["Guten Tag."]).shape[0] == 1
assert spacy.load("de_demo_news_sm")("Anna wohnt in Berlin.").ents
try:
    open("/cache/written", "w")
    raise SystemExit("the claim can be written")
except OSError as error:
    assert error.errno == 30, error
open("/tmp/done", "w").close()
time.sleep(3600)
"""


def test_plain_libraries_find_the_models_with_the_config_map_only(
    shared: Release, kubectl: Kubectl, worker_image: str
) -> None:
    kubectl.apply(_deployment(shared, worker_image))
    try:
        rolled_out = kubectl.says("rollout", "status", "deployment/neighbour", "--timeout=120s")
        assert rolled_out.code == 0, kubectl.says("logs", "deployment/neighbour", "--tail=40").out
    finally:
        kubectl.says("delete", "deployment", "neighbour", "--wait=false")


def _deployment(release: Release, image: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "neighbour", "qda-worker/claim": release.claim}
    container = {
        "name": "main",
        "image": image,
        "command": ["env", "-u", "QDA_CACHE", "python", "-c", PLAIN_CALLS],
        "envFrom": [{"configMapRef": {"name": f"{release.name}-cache-env"}}],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "readinessProbe": {"exec": {"command": ["cat", "/tmp/done"]}, "periodSeconds": 1},
        "securityContext": RESTRICTED_CONTAINER,
        "volumeMounts": [
            {"name": "cache", "mountPath": "/cache", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 23456,
            "runAsGroup": 23456,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "cache", "persistentVolumeClaim": {"claimName": release.claim}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "neighbour"}, "spec": spec}
