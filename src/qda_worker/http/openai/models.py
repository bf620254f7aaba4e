"""`GET /v1/models`: a ListModelsResponse as the list of models in OpenAI's form.

Only models that can embed are listed, the default first: an OpenAI client has no other use for them here, and some take
the first one. The fields beyond OpenAI's four are additions. `root` and `max_model_len` have the names that other
servers use.
"""

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import to_json

from qda.v1 import model_pb2

# Tasks of models that can embed, those made for it first.
_TASKS: Final = (model_pb2.TASK_EMBEDDING, model_pb2.TASK_PARAPHRASE)


def list_embedding_models(response: model_pb2.ListModelsResponse) -> list[model_pb2.ModelInfo]:
    """Return the models that can embed, the default first."""
    able = [model for model in response.models if model.task in _TASKS]
    return sorted(able, key=lambda model: (_TASKS.index(model.task), not model.is_default))


def build_model_list(models: Sequence[model_pb2.ModelInfo], created: int) -> bytes:
    """Build the body of the list; `created` is the time that all models state."""
    return to_json({"object": "list", "data": [_fields(model, created) for model in models]})


def build_model(model: model_pb2.ModelInfo, created: int) -> bytes:
    """Build the body of one model."""
    return to_json(_fields(model, created))


def _fields(model: model_pb2.ModelInfo, created: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": model.key,
        "object": "model",
        "created": created,
        "owned_by": model.source.partition("/")[0],
        "root": model.source,
    }
    if model.limit_count:  # known once the model is loaded
        fields |= {
            "max_model_len": model.limit_count,
            "dimensions": model.dimension_count,
            "shortened_dimensions": list(model.shortened_dimension_counts),
            "prompts": sorted(model.prompts),
        }
    return fields
