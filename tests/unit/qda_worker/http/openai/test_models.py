"""The list of models in OpenAI's form."""

import json

from qda.v1 import model_pb2 as pb
from qda_worker.http.openai.models import build_model, build_model_list, list_embedding_models


def response() -> pb.ListModelsResponse:
    return pb.ListModelsResponse(
        models=[
            pb.ModelInfo(key="mood", task=pb.TASK_SENTIMENT, is_default=True),
            pb.ModelInfo(key="pairs", task=pb.TASK_PARAPHRASE, is_default=True, source="org/pairs"),
            pb.ModelInfo(key="other", task=pb.TASK_EMBEDDING, source="org/other"),
            pb.ModelInfo(
                key="vectors", task=pb.TASK_EMBEDDING, is_default=True, source="BAAI/bge-m3",
                limit_count=8192, dimension_count=1024, shortened_dimension_counts=[512, 256],
                prompts={"query": "query: ", "passage": ""},
            ),
        ]
    )  # fmt: skip


def test_models_that_embed_are_listed_with_the_default_first() -> None:
    assert [model.key for model in list_embedding_models(response())] == ["vectors", "other", "pairs"]


def test_a_loaded_model_states_its_limits() -> None:
    body = json.loads(build_model_list(list_embedding_models(response()), 1_700_000_000))
    assert body["object"] == "list"
    assert body["data"][0] == {
        "id": "vectors",
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "BAAI",
        "root": "BAAI/bge-m3",
        "max_model_len": 8192,
        "dimensions": 1024,
        "shortened_dimensions": [512, 256],
        "prompts": ["passage", "query"],
    }


def test_a_model_that_is_not_loaded_yet_has_the_fields_of_the_api_only() -> None:
    [model] = [each for each in list_embedding_models(response()) if each.key == "other"]
    assert set(json.loads(build_model(model, 1))) == {"id", "object", "created", "owned_by", "root"}
