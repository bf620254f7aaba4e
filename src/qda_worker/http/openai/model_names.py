"""Names of models in requests: the key in the catalog, or the repository, with or without its organization.

Clients of OpenAI's API send one string. A user who knows the model and not the catalog writes `BAAI/bge-m3` or
`bge-m3`; case does not matter, as at the hub. A key comes first: it may be equal to the name of another repository.
`name:prompt` also selects a prompt of the model, for clients that cannot send `prompt_name`. No key and no repository
has a colon.
"""

from collections.abc import Sequence

from model_cache.catalog.catalog import Catalog, Model, Task
from model_cache.cli.parser import closest_match
from qda_worker.errors import ArgumentInvalid, ModelUnknown, ModelWrongTask, Violation
from qda_worker.http.openai.requests import quote
from qda_worker.registry.registry import COMPATIBLE_TASKS


def split_model(name: str, prompt_name: str) -> tuple[str, str]:
    """Return the name of the model, and that of the prompt from either place.

    Args:
        name: the field `model`.
        prompt_name: the field `prompt_name`; empty if it is not there.

    Raises:
        ArgumentInvalid: when both name a prompt, and not the same one.
    """
    model, colon, suffix = name.rpartition(":")
    if not colon:
        return name, prompt_name
    if prompt_name and prompt_name != suffix:
        raise ArgumentInvalid(
            "model and prompt_name name different prompts",
            "name the prompt in one of them",
            violations=[Violation("prompt_name", "differs from the prompt in model")],
        )
    return model, suffix


def find_model(catalog: Catalog, name: str) -> Model:
    """Return the catalog's model of that name, which must be able to embed.

    If several models are of the repository, the default for embeddings is taken, or the only one that embeds.

    Raises:
        ModelUnknown: when there is none, or when there are several.
        ModelWrongTask: when it cannot embed.
    """
    found = _find(catalog.models, name)
    able = embedding_models(catalog)
    if not found:
        names = {each: model for model in able for each in (model.key, model.source_name)}
        guess = closest_match(name, names)
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise ModelUnknown(
            f"the model {quote(name)} does not exist{hint}",
            f"name one of: {', '.join(model.key for model in able) or 'none is served'}",
            violations=[Violation("model", "is no model of the catalog")],
        )
    if len(found) > 1:
        found = [model for model in found if model in able] or found
        default = catalog.default_for(Task.EMBEDDING)
        found = [default] if default in found else found
    if len(found) > 1:
        keys = ", ".join(model.key for model in found)
        raise ModelUnknown(
            f"{quote(name)} names several models",
            f"name one of: {keys}",
            violations=[Violation("model", "names several models")],
        )
    if found[0] not in able:
        raise ModelWrongTask(
            f"{quote(name)} is a model for {found[0].task}, not for embeddings",
            f"name one of: {', '.join(model.key for model in able) or 'none is served'}",
            violations=[Violation("model", "cannot embed")],
        )
    return found[0]


def embedding_models(catalog: Catalog) -> list[Model]:
    """Return the models that can embed, the default first: some clients take the first one."""
    able = [model for model in catalog.models if model.task in COMPATIBLE_TASKS[Task.EMBEDDING]]
    default = catalog.default_for(Task.EMBEDDING)
    return sorted(able, key=lambda model: (model != default, model.task is not Task.EMBEDDING))


def _find(models: Sequence[Model], name: str) -> list[Model]:
    wanted = name.casefold()
    for names in (_key, _repository, _short_repository):
        found = [model for model in models if names(model).casefold() == wanted]
        if found:
            return found
    return []


def _key(model: Model) -> str:
    return model.key


def _repository(model: Model) -> str:
    return model.source_name


def _short_repository(model: Model) -> str:
    return model.source_name.rpartition("/")[2]
