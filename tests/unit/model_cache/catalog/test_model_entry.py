"""Parsing one entry of a catalog: what is accepted, and the report of each mistake."""

from typing import Final

import pytest

from model_cache.catalog.catalog import Cleaning, HuggingFaceSource, Precision, Serving, Task
from model_cache.catalog.parse import parse_catalog
from tests.support.catalog_texts import (
    COMMIT,
    ENTITIES,
    SENTIMENT,
    SHA256,
    assert_one_problem,
    catalog,
    in_entities,
    in_sentiment,
    problems_of,
)

PARAPHRASE: Final = SENTIMENT.replace("task: sentiment", "task: paraphrase")
WHEEL: Final = "https://x.test/files/de_test-3.8.0-py3-none-any.whl"
FILES: Final = "[config.json, model.safetensors]"
HUB: Final = "models[0].huggingface"
SPACY: Final = "models[0].spacy"
SERVING: Final = "models[0].serving"


def with_serving(serving: str, model: str = SENTIMENT) -> str:
    return catalog(model + f"    serving: {serving}\n")


def test_a_full_entry_is_read_as_written() -> None:
    text = catalog(
        SENTIMENT.replace("key: mood", "key: mood\n    licence: MIT")
        + "    serving: {cleaning: german-sentiment, labels: {LABEL_0: negative, no: positive, 5: neutral},\n"
        "              max_tokens: 512, precision: bf16, default: yes}\n"
    )
    (model,) = parse_catalog(text, "c.yaml").models
    assert model.source == HuggingFaceSource("org/mood", COMMIT, ("config.json", "model.safetensors"))
    assert model.licence == "MIT"
    labels = {"LABEL_0": "negative", "no": "positive", "5": "neutral"}
    assert model.serving == Serving(Cleaning.GERMAN_SENTIMENT, labels, 512, Precision.BF16, True)


def test_lengths_of_shortened_vectors_are_read() -> None:
    text = with_serving("{shortened_dimensions: [512, 64]}", PARAPHRASE)
    (model,) = parse_catalog(text, "c.yaml").models
    assert model.serving.shortened_dimensions == (512, 64)


def test_prompts_are_read() -> None:
    text = with_serving('{prompts: {query: "query: ", no-text: ""}}', PARAPHRASE)
    (model,) = parse_catalog(text, "c.yaml").models
    assert model.serving.prompts == {"query": "query: ", "no-text": ""}
    assert hash(model)


def test_a_spacy_package_may_be_for_syntax_only() -> None:
    (model,) = parse_catalog(catalog(ENTITIES.replace("task: entities", "task: syntax")), "c.yaml").models
    assert model.task is Task.SYNTAX


def test_a_commit_of_digits_alone_needs_no_quotes() -> None:
    (model,) = parse_catalog(catalog(SENTIMENT.replace(COMMIT, "1" * 40)), "c.yaml").models
    assert model.revision == "1" * 40


def test_an_old_repository_without_an_organization_is_accepted() -> None:
    (model,) = parse_catalog(catalog(SENTIMENT.replace("org/mood", "bert-base-cased")), "c.yaml").models
    assert model.source_name == "bert-base-cased"


@pytest.mark.parametrize(
    ("text", "line", "key", "parts"),
    [
        (in_sentiment("task: ", "taks: "), 5, "models[0].taks", ['did you mean "task"']),
        (in_sentiment("    task: sentiment\n", ""), 4, "models[0].task", ["no such key", "sentiment | entities"]),
        (in_sentiment("sentiment", "sentimnet"), 5, "models[0].task", ['did you mean "sentiment"']),
        (in_sentiment("key: mood", "key: Mood"), 4, "models[0].key", ['"Mood"', "a-z 0-9"]),
        (in_sentiment("key: mood", f"key: {'m' * 64}"), 4, "models[0].key", ["1 to 63"]),
        (in_sentiment("key: mood", "key: 12"), 4, "models[0].key", ["the number 12", "in quotes"]),
        (in_sentiment("key: mood", "key:"), 4, "models[0].key", ["found nothing"]),
        (in_sentiment("key: mood", "key: mood\n    licence: [MIT]"), 5, "models[0].licence", ["a list of 1"]),
        (in_sentiment("org/mood", "org/sub/mood"), 7, f"{HUB}.repository", ["ORG/NAME"]),
        (in_sentiment("org/mood", "../mood"), 7, f"{HUB}.repository", ["ORG/NAME"]),
        (in_sentiment("org/mood", "org/a--b"), 7, f"{HUB}.repository", ["no --"]),
        (in_sentiment(COMMIT, "main"), 8, f"{HUB}.revision", ['"main" (a branch or tag)', "a commit, 40 lower-"]),
        (in_sentiment(COMMIT, "v1.0"), 8, f"{HUB}.revision", ['"v1.0"', "40 lower-case hex"]),
        (in_sentiment(COMMIT, "1.0"), 8, f"{HUB}.revision", ['"1.0"', "40 lower-case hex"]),
        (in_sentiment(COMMIT, COMMIT[:12]), 8, f"{HUB}.revision", ["(12 hex digits)", "40 lower-case hex"]),
        (in_sentiment(COMMIT, COMMIT.upper()), 8, f"{HUB}.revision", [f'did you mean "{COMMIT}"']),
        (in_sentiment(FILES, "config.json"), 9, f"{HUB}.files", ['"config.json"', "a list"]),
        (in_sentiment(FILES, "[]"), 9, f"{HUB}.files", ["an empty list"]),
        (in_sentiment("config.json", "5"), 9, f"{HUB}.files[0]", ["the number 5", "as text"]),
        (in_sentiment("config.json", "../x"), 9, f"{HUB}.files[0]", ['".."', "inside the repository"]),
        (in_sentiment("config.json", "a/../../x"), 9, f"{HUB}.files[0]", ['".."']),
        (in_sentiment("config.json", "/etc/passwd"), 9, f"{HUB}.files[0]", ["is absolute"]),
        (in_sentiment("config.json", "'C:/x'"), 9, f"{HUB}.files[0]", ["is absolute"]),
        (in_sentiment("config.json", "'a\\b'"), 9, f"{HUB}.files[0]", ["backslash"]),
        (in_sentiment("config.json", '"a\\0b"'), 9, f"{HUB}.files[0]", ["NUL"]),
        (in_sentiment("config.json", '""'), 9, f"{HUB}.files[0]", ["is empty"]),
        (in_sentiment("config.json", "onnx/"), 9, f"{HUB}.files[0]", ["empty part"]),
        (in_sentiment("config.json", "x" * 256), 9, f"{HUB}.files[0]", ["a part of 256 bytes"]),
        (in_sentiment("      revision", "      branch: main\n      revision"), 8, f"{HUB}.branch", ["unknown key"]),
        (catalog(SENTIMENT + ENTITIES[ENTITIES.index("    spacy"):]), 4, "models[0]", ["both huggingface and spacy"]),
        (catalog("  - key: a\n    task: sentiment\n"), 4, "models[0]", ["neither huggingface nor spacy"]),
        (in_sentiment("task: sentiment", "task: entities"), 6, HUB, ["spacy for entities"]),
        (in_entities("task: entities", "task: embedding"), 6, SPACY, ["huggingface for embedding"]),
        (in_entities("version: 3.8.0", "version: 3.8"), 8, f"{SPACY}.version", ["the number 3.8", "in quotes"]),
        (in_entities(SHA256, SHA256[1:]), 10, f"{SPACY}.sha256", ["63 hex digits", "64 lower-case hex"]),
        (in_entities(SHA256, "z" * 64), 10, f"{SPACY}.sha256", ["64 lower-case hex"]),
        (in_entities("package: de_test", "package: de-test"), 7, f"{SPACY}.package", ['"de-test"']),
        (in_entities("package: de_test", "package: ../x"), 7, f"{SPACY}.package", ['"../x"']),
        (in_entities("https:", "ftp:"), 9, f"{SPACY}.url", ["https://HOST"]),
        (in_entities(WHEEL, "de_test-3.8.0-py3-none-any.whl"), 9, f"{SPACY}.url", ["https://HOST"]),
        (in_entities("x.test", "x.test:port"), 9, f"{SPACY}.url", ["cannot be read"]),
        (in_entities("de_test-3.8.0-py3", "de_test-3.7.0-py3"), 9, f"{SPACY}.url", ["de_test-3.8.0-py3-none-any.whl"]),
        (in_entities("de_test-3.8.0-py3", "..%2Fde_test-3.8.0-py3"), 9, f"{SPACY}.url", ["named de_test-3.8.0"]),
        (with_serving("{labels: {A: good}}"), 10, f"{SERVING}.labels.A", ["positive | negative | neutral"]),
        (with_serving("{labels: {A: postive}}"), 10, f"{SERVING}.labels.A", ['did you mean "positive"']),
        (with_serving("{labels: [positive]}"), 10, f"{SERVING}.labels", ["a list of 1", "a mapping"]),
        (with_serving("{labels: {A: positive}}", ENTITIES), 11, f"{SERVING}.labels", ["labels for sentiment only"]),
        (with_serving("{cleaning: german-sentiment}", ENTITIES), 11, f"{SERVING}.cleaning", ["entities"]),
        (with_serving("{precision: bf16}", ENTITIES), 11, f"{SERVING}.precision", ["fp32"]),
        (with_serving("{precision: fp64}"), 10, f"{SERVING}.precision", ["fp32 | bf16 | int8"]),
        (with_serving("{cleaning: german}"), 10, f"{SERVING}.cleaning", ['did you mean "german-sentiment"']),
        (with_serving("{max_tokens: 0}"), 10, f"{SERVING}.max_tokens", ["the number 0"]),
        (with_serving("{max_tokens: -5}"), 10, f"{SERVING}.max_tokens", ["the number -5"]),
        (with_serving('{max_tokens: "512"}'), 10, f"{SERVING}.max_tokens", ['"512"', "without quotes"]),
        (with_serving("{max_tokens: 1.5}"), 10, f"{SERVING}.max_tokens", ["the number 1.5"]),
        (with_serving(f"{{max_tokens: {'9' * 5000}}}"), 10, f"{SERVING}.max_tokens", ["9999999999"]),
        (with_serving('{prompts: {query: "q: "}}'), 10, f"{SERVING}.prompts", ["return vectors only"]),
        (with_serving("{prompts: {query: 5}}", PARAPHRASE), 10, f"{SERVING}.prompts.query", ["in quotes"]),
        (with_serving('{prompts: {"a b": "q: "}}', PARAPHRASE), 10, f"{SERVING}.prompts.a b", ["without spaces"]),
        (with_serving('{prompts: ["q: "]}', PARAPHRASE), 10, f"{SERVING}.prompts", ["a mapping"]),
        (with_serving("{shortened_dimensions: [64]}"), 10, f"{SERVING}.shortened_dimensions", ["return vectors only"]),
        (with_serving("{shortened_dimensions: 64}", PARAPHRASE), 10, f"{SERVING}.shortened_dimensions", ["a list"]),
        (with_serving("{shortened_dimensions: []}", PARAPHRASE), 10, f"{SERVING}.shortened_dimensions", ["empty"]),
        (with_serving("{shortened_dimensions: [64, 0]}", PARAPHRASE), 10, f"{SERVING}.shortened_dimensions", ["0"]),
        (with_serving('{default: "true"}'), 10, f"{SERVING}.default", ["true or false"]),
        (with_serving("{max_token: 5}"), 10, f"{SERVING}.max_token", ['did you mean "max_tokens"']),
        (with_serving("fast"), 10, SERVING, ['"fast"', "a mapping of cleaning"]),
    ],
)  # fmt: skip
def test_a_mistake_of_an_entry_has_line_key_and_what_is_allowed(
    text: str, line: int, key: str, parts: list[str]
) -> None:
    assert_one_problem(text, line, key, parts)


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    (problem,) = problems_of(in_entities("https://", "https://me:secret@"))
    assert "secret" not in str(problem).replace("without secrets", "")
