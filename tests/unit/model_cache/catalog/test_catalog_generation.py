"""The generation: what decides the bytes changes it, and nothing else does."""

import hashlib
import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from model_cache.catalog.catalog import (
    Cleaning,
    HuggingFaceSource,
    Model,
    Precision,
    Serving,
    SpacySource,
    Task,
    generation,
    model_digest,
)
from model_cache.catalog.parse import load_catalog, parse_catalog
from tests.support.catalog_texts import (
    CATALOGS,
    COMMIT,
    ENTITIES,
    MODELS,
    SENTIMENT,
    SHA256,
    catalog,
)


def test_the_canonical_form_is_the_documented_one() -> None:
    hub = Model("b", Task.SENTIMENT, HuggingFaceSource("org/name", "a" * 40, ("z.json", "ä", "z.json")))
    package = Model("a", Task.ENTITIES, SpacySource("de_x", "1.0", "https://x/y.whl", "c" * 64))
    identities = [
        {"key": "a", "package": "de_x", "version": "1.0", "sha256": "c" * 64},
        {"key": "b", "repository": "org/name", "revision": "a" * 40, "files": ["z.json", "ä"]},
    ]
    text = json.dumps(identities, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert generation([hub, package]) == hashlib.sha256(text.encode()).hexdigest()


def test_the_generation_of_the_built_in_catalog_stays_the_same() -> None:
    """Every existing cache would look incomplete if it changed without a change of the files."""
    expected = "9a3fbc0e54fc01f69f5c00d4b966573a0c3bc0f49b68d59bf9509c7ff03c3904"
    assert generation(load_catalog(None).models) == expected


@given(CATALOGS, st.randoms(use_true_random=False))
def test_the_order_of_models_and_files_does_not_count(models: list[Model], random: Random) -> None:
    shuffled = [_with_files_shuffled(model, random) for model in models]
    random.shuffle(shuffled)
    assert generation(shuffled) == generation(models)


@given(MODELS, st.sampled_from(Task), st.sampled_from(Cleaning), st.sampled_from(Precision), st.booleans())
def test_how_a_model_is_served_does_not_count(
    model: Model, task: Task, cleaning: Cleaning, precision: Precision, default: bool
) -> None:
    serving = Serving(cleaning, {"a": "positive"}, 7, precision, default)
    other = model._replace(task=task, serving=serving, licence="MIT")
    if isinstance(other.source, SpacySource):
        other = other._replace(source=other.source._replace(url="https://mirror/y.whl"))
    assert model_digest(other) == model_digest(model)


@given(CATALOGS, CATALOGS)
def test_other_bytes_have_another_generation(one: list[Model], two: list[Model]) -> None:
    assert (generation(one) == generation(two)) == (_deciding(one) == _deciding(two))


@given(CATALOGS)
def test_each_model_of_a_catalog_has_a_digest_of_its_own(models: list[Model]) -> None:
    assert len({model_digest(model) for model in models}) == len(models)


def test_comments_and_spelling_do_not_count() -> None:
    plain = parse_catalog(catalog(SENTIMENT, ENTITIES), "a.yaml")
    spelled = parse_catalog(
        f"""# JSON is YAML, too
        {{"kind": "Catalog", 'apiVersion': qda/v1, "models": [
          {{key: names, licence: MIT, task: "entities", spacy: {{package: de_test, version: "3.8.0", sha256: "{SHA256}",
             url: "http://mirror.test/de_test-3.8.0-py3-none-any.whl"}}}},
          {{key: mood, task: sentiment, serving: {{max_tokens: 5}},  # as it was
            huggingface: {{files: ["model.safetensors", "config.json"],
                          repository: org/mood, revision: '{COMMIT}'}}}}]}}
        """,
        "b.yaml",
    )
    assert generation(spelled.models) == generation(plain.models)


def _with_files_shuffled(model: Model, random: Random) -> Model:
    if not isinstance(model.source, HuggingFaceSource):
        return model
    files = [*model.source.files, model.source.files[0]]
    random.shuffle(files)
    return model._replace(source=model.source._replace(files=tuple(files)))


def _deciding(models: list[Model]) -> set[tuple[object, ...]]:
    return {
        (model.key, model.source.repository, model.source.revision, frozenset(model.source.files))
        if isinstance(model.source, HuggingFaceSource)
        else (model.key, model.source.package, model.source.version, model.source.sha256)
        for model in models
    }
