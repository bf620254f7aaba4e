"""Reading catalogs: what is accepted, and that each mistake is told with line, key and remedy."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import Cleaning, HuggingFaceSource, Precision, Serving
from model_cache.catalog.parse import MAX_BYTES, load_catalog, parse_catalog
from model_cache.errors import CatalogInvalid, CatalogProblem
from model_cache.reasons import Reason
from tests.support.catalog_texts import COMMIT, ENTITIES, SENTIMENT, SHA256, catalog


def problems_of(text: str) -> tuple[CatalogProblem, ...]:
    with pytest.raises(CatalogInvalid) as caught:
        parse_catalog(text, "c.yaml")
    assert caught.value.reason is Reason.CATALOG_INVALID
    for problem in caught.value.problems:
        assert "\n" not in str(problem)
        assert str(problem) in str(caught.value)
    return caught.value.problems


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


def test_a_commit_of_digits_alone_needs_no_quotes() -> None:
    (model,) = parse_catalog(catalog(SENTIMENT.replace(COMMIT, "1" * 40)), "c.yaml").models
    assert model.revision == "1" * 40


def test_an_old_repository_without_an_organisation_is_accepted() -> None:
    (model,) = parse_catalog(catalog(SENTIMENT.replace("org/mood", "bert-base-cased")), "c.yaml").models
    assert model.source_name == "bert-base-cased"


def in_sentiment(old: str, new: str) -> str:
    assert old in SENTIMENT
    return catalog(SENTIMENT.replace(old, new))


def in_entities(old: str, new: str) -> str:
    assert old in ENTITIES
    return catalog(ENTITIES.replace(old, new))


PARAPHRASE: Final = SENTIMENT.replace("task: sentiment", "task: paraphrase")


def with_serving(serving: str, model: str = SENTIMENT) -> str:
    return catalog(model + f"    serving: {serving}\n")


WHEEL: Final = "https://x.test/files/de_test-3.8.0-py3-none-any.whl"
FILES: Final = "[config.json, model.safetensors]"
HUB: Final = "models[0].huggingface"
SPACY: Final = "models[0].spacy"
SERVING: Final = "models[0].serving"


@pytest.mark.parametrize(
    ("text", "line", "key", "parts"),
    [
        (catalog(SENTIMENT).replace("qda/v1", "qda/v2"), 1, "apiVersion", ['"qda/v2"', "qda/v1"]),
        (catalog(SENTIMENT).replace("kind: Catalog", "kind: catalog"), 2, "kind", ['did you mean "Catalog"']),
        (catalog(SENTIMENT).replace("kind: Catalog\n", ""), 1, "kind", ["no such key"]),
        (catalog(SENTIMENT) + "modles: 1\n", 10, "modles", ["unknown key", "apiVersion, kind, models"]),
        ("apiVersion: qda/v1\nkind: Catalog\nmodels: []\n", 3, "models", ["an empty list", "at least one"]),
        ("apiVersion: qda/v1\nkind: Catalog\nmodels: {}\n", 3, "models", ["an empty mapping", "a list"]),
        ("apiVersion: qda/v1\nkind: Catalog\nmodels: [x]\n", 3, "models[0]", ['"x"', "a mapping"]),
        ("- a\n", 1, "", ["a list of 1", "a mapping with apiVersion, kind and models"]),
        ("", 1, "", ["an empty file"]),
        ("# nothing\n", 1, "", ["an empty file"]),
        (catalog(SENTIMENT) + "---\na: b\n", 10, "", ["a second document"]),
        (in_sentiment("task: ", "taks: "), 5, "models[0].taks", ['did you mean "task"']),
        (in_sentiment("    task: sentiment\n", ""), 4, "models[0].task", ["no such key", "sentiment | entities"]),
        (in_sentiment("sentiment", "sentimnet"), 5, "models[0].task", ['did you mean "sentiment"']),
        (in_sentiment("key: mood", "key: Mood"), 4, "models[0].key", ['"Mood"', "a-z 0-9"]),
        (in_sentiment("key: mood", f"key: {'m' * 64}"), 4, "models[0].key", ["1 to 63"]),
        (in_sentiment("key: mood", "key: 12"), 4, "models[0].key", ["the number 12", "in quotes"]),
        (in_sentiment("key: mood", "key:"), 4, "models[0].key", ["found nothing"]),
        (in_sentiment("key: mood", "key: m\n    key: n"), 5, "models[0].key", ["a second time (first in line 4)"]),
        (catalog(SENTIMENT, SENTIMENT), 10, "models[1].key", ['"mood" a second time (first in line 4)']),
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
        (with_serving("{shortened_dimensions: [64]}"), 10, f"{SERVING}.shortened_dimensions", ["vectors only"]),
        (with_serving("{shortened_dimensions: 64}", PARAPHRASE), 10, f"{SERVING}.shortened_dimensions", ["a list"]),
        (with_serving("{shortened_dimensions: []}", PARAPHRASE), 10, f"{SERVING}.shortened_dimensions", ["empty"]),
        (with_serving("{shortened_dimensions: [64, 0]}", PARAPHRASE), 10, f"{SERVING}.shortened_dimensions", ["0"]),
        (with_serving('{default: "true"}'), 10, f"{SERVING}.default", ["true or false"]),
        (with_serving("{max_token: 5}"), 10, f"{SERVING}.max_token", ['did you mean "max_tokens"']),
        (with_serving("fast"), 10, SERVING, ['"fast"', "a mapping of cleaning"]),
        ("a: [\n", 2, "", ["a syntax error"]),
        ("a: b: c\n", 1, "", ["a syntax error"]),
        ("a:\n\tb: 1\n", 2, "", ["a syntax error"]),
        ("a: 'x\n", 2, "", ["a syntax error"]),
        ("a: x\x00y\n", 1, "", ["U+0000"]),
        ("a: &x [1]\nb: *x\n", 1, "", ["the anchor &x"]),
        ("a: 1\nb: *x\n", 2, "", ["the alias *x"]),
        ("a: !!python/object/apply:os.system [id]\n", 1, "", ["the tag"]),
        ("? [a]\n: b\n", 1, "", ["a list of 1 as a key"]),
        ("a: " + "[" * 40 + "]" * 40, 1, "", ["more than 16 levels"]),
        ("[" * 100_000, 1, "", []),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_line_its_key_and_what_is_allowed(
    text: str, line: int, key: str, parts: list[str]
) -> None:
    problems = [problem for problem in problems_of(text) if (problem.line, problem.key) == (line, key)]
    assert len(problems) == 1, problems_of(text)
    told = str(problems[0])
    assert told.startswith(f"c.yaml:{line}: {key}{': ' if key else ''}found ")
    for part in parts:
        assert part in told


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = catalog(
        SENTIMENT.replace("sentiment", "sentimnet").replace(COMMIT, "main"),
        ENTITIES.replace("3.8.0\n", "3.8\n").replace(SHA256, "abc"),
    ).replace("kind: Catalog", "kind: Katalog")
    found = [(problem.line, problem.key.rpartition(".")[2]) for problem in problems_of(text)]
    assert found == [(2, "kind"), (5, "task"), (8, "revision"), (13 + 1, "version"), (16, "sha256")]


def test_two_defaults_of_one_task_contradict_each_other() -> None:
    default = "    serving: {default: true}\n"
    text = catalog(SENTIMENT + default, SENTIMENT.replace("key: mood", "key: other") + default)
    (problem,) = problems_of(text)
    assert (problem.line, problem.key) == (17, "models[1].serving.default")
    assert 'the first is "mood"' in problem.found


def test_a_password_in_an_address_is_refused_and_never_shown() -> None:
    (problem,) = problems_of(in_entities("https://", "https://me:secret@"))
    assert "secret" not in str(problem).replace("without secrets", "")


def test_mistakes_before_a_syntax_error_are_told_with_it() -> None:
    assert [problem.line for problem in problems_of("a: 1\na: 2\nb: *x\n")] == [2, 3]


def test_aliases_cannot_make_a_small_file_huge() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert len(problems_of("\n".join(lines))) == 1


def test_a_file_that_is_not_there_is_invalid_and_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogInvalid, match=r"none\.yaml: found No such file") as caught:
        load_catalog(tmp_path / "none.yaml")
    assert "at the lines" not in caught.value.remedy


def test_a_folder_is_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogInvalid, match="Is a directory"):
        load_catalog(tmp_path)


def test_text_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"apiVersion: qda/v1\n# \xfcbung\n")
    with pytest.raises(CatalogInvalid, match=r"c\.yaml:2: found bytes that are not UTF-8"):
        load_catalog(tmp_path / "c.yaml")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbf" + catalog(SENTIMENT).encode())
    assert load_catalog(tmp_path / "c.yaml").origin == str(tmp_path / "c.yaml")


def test_a_device_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(CatalogInvalid, match=f"more than {MAX_BYTES} bytes"):
        load_catalog(Path("/dev/zero"))
