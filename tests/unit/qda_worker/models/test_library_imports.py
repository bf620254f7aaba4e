"""Libraries are imported without what a worker never uses, and whoever needs it gets the real package."""

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.support.tiny_models import write_classifier, write_embedding

PROGRAM: Final = """
import json, sys
from qda_worker.models.library_imports import DEFERRED, import_libraries

import_libraries(vectors=False)
without_vectors = "sentence_transformers" in sys.modules
import_libraries(vectors=True)
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import similarity, tensor
from transformers import AutoModelForSequenceClassification

classifier = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], local_files_only=True)
vectors = SentenceTransformer(sys.argv[2], device="cpu", local_files_only=True).encode(["gut"])
imported = [name for name in (*DEFERRED, "sympy") if name in sys.modules]
number_is_sparse = isinstance(3, tensor.coo_matrix)
distance = similarity.pairwise_distances([[0.0, 1.0]], [[3.0, 5.0]]).tolist()
import scipy.sparse
matrix_is_sparse = isinstance(scipy.sparse.coo_matrix([[1]]), tensor.coo_matrix)
random = torch.nn.Embedding(4, 8).weight.std().item()
try:
    torch._check(False, lambda: "told")
except RuntimeError as error:
    told = str(error)
import torch._dynamo
print(json.dumps({
    "without vectors": without_vectors, "imported": imported, "vectors": vectors.shape, "distance": distance,
    "sparse": [number_is_sparse, matrix_is_sparse], "random": random > 0.1, "told": told,
    "compiler": torch._dynamo.__file__.endswith("__init__.py"),
}))
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what a process finds that loads two models: this one has imported everything already."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / "classifier", folder / "embedding"]
    for path in paths:
        path.mkdir()
    write_classifier(paths[0], ("positive", "negative", "neutral"))
    write_embedding(paths[1], max_seq_length=16, normalize=True)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_models_load_without_the_compiler_and_without_packages_for_training(result: Any) -> None:
    assert (result["imported"], result["without vectors"]) == ([], False)
    assert result["vectors"][0] == 1


def test_what_was_left_out_is_imported_when_it_is_used(result: Any) -> None:
    assert result["distance"] == [[5.0]]
    assert result["sparse"] == [False, True]
    assert result["compiler"]


def test_what_torch_does_itself_has_the_same_result(result: Any) -> None:
    assert result["random"]
    assert result["told"] == "told"
