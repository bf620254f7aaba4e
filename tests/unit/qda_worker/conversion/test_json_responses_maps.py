"""Maps in JSON responses."""

import json

from google.protobuf import json_format

from qda.v1 import model_pb2
from qda_worker.conversion.json_responses import build_json


def test_a_map_is_an_object_by_its_keys() -> None:
    message = model_pb2.ModelInfo(key="e5", prompts={"query": "query: ", "passage": "passage: "})
    written = build_json(message)
    assert json.loads(written)["prompts"] == {"passage": "passage: ", "query": "query: "}
    assert json_format.Parse(written, model_pb2.ModelInfo()) == message


def test_an_empty_map_is_an_empty_object() -> None:
    assert json.loads(build_json(model_pb2.ModelInfo()))["prompts"] == {}
