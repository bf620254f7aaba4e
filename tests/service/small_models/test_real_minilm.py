"""The real all-MiniLM-L6-v2 from PyPI, as a repository that a fake hub can serve."""

from pathlib import Path

from sentence_transformers import SentenceTransformer

from tests.support.fake_hub.repository import repositories_below
from tests.support.small_models.real_minilm import REPOSITORY, link_minilm, minilm_folder, minilm_repository


def test_the_files_form_a_repository_with_real_weights() -> None:
    repository = minilm_repository()
    assert {"config.json", "model.safetensors", "modules.json", "1_Pooling/config.json"} <= set(
        repository.files
    )
    assert repository.files["model.safetensors"].size > 90_000_000
    assert repository.files["model.safetensors"].is_lfs


def test_linked_below_a_hub_folder_it_is_the_same_repository(tmp_path: Path) -> None:
    link_minilm(tmp_path)
    (found,) = repositories_below(tmp_path)
    assert found.id == REPOSITORY
    assert set(found.files) == set(minilm_repository().files)


def test_a_paraphrase_is_more_similar_than_another_statement() -> None:
    model = SentenceTransformer(str(minilm_folder()), device="cpu")
    query, like, other = model.encode(
        ["The bus is always late.", "Buses never arrive on time.", "My sister studies law."],
        normalize_embeddings=True,
    )
    assert float(query @ like) > float(query @ other) + 0.3
