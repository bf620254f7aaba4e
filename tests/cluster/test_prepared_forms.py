"""A catalog that asks for int8: the Job makes and publishes the prepared form, and the worker serves it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import yaml

from tests.cluster.demo_hub import CATALOGS
from tests.cluster.kubectl import Kubectl
from tests.cluster.release import WAIT, Release

# The form of a small model needs far less than the chart requests for that of a real one.
SMALL: Final = "--set=cacheWarmer.prepare.resources.requests.memory=1Gi"
ASK: Final = """
import json
from qda_worker.client import Client
with Client("localhost:50051") as client:
    (model,) = client.models().models
    answer = client.sentiment(["Das ist gut.", "Das war schlecht."])
    labels = [one.label for one in answer]
    print(json.dumps([model.precision, model.engines, answer.provenance.precision, labels]))
"""


def test_a_catalog_that_asks_for_int8_is_served_in_int8(
    new_release: Callable[..., Release], kubectl: Kubectl, tmp_path: Path
) -> None:
    document = yaml.safe_load((CATALOGS / "catalog.yaml").read_text("utf-8"))
    (model,) = [one for one in document["models"] if one["key"] == "german-sentiment"]
    model["serving"]["precision"] = "int8"
    (tmp_path / "int8.yaml").write_text(yaml.safe_dump({**document, "models": [model]}), "utf-8")
    release = new_release("int8")

    release("install", f"--set-file=catalog={tmp_path / 'int8.yaml'}", SMALL, *WAIT)

    pod = release.running_worker()
    check = release.check(pod, "--prepared")
    assert check.code == 0
    assert "prepared: german-sentiment in int8: OK (torch-dynamic, openvino-static" in check.out
    found = json.loads(kubectl("exec", pod, "--container=worker", "--", "python", "-c", ASK))
    precision, engines, of_the_answer, labels = found
    assert (precision, of_the_answer, labels) == ("int8", "int8", ["positive", "negative"])
    assert set(engines) < {"torch", "openvino"}
    assert "german-sentiment (int8)" in release.event("Deployment", "PUBLISHED")
    log = kubectl("logs", f"job/{next(iter(release.jobs()))}", "--container=prepare-0")
    assert "openvino-static passed: label_agreement" in log
    assert "CACHE_INCOMPLETE" not in log, "that it is missing is why it is made"
