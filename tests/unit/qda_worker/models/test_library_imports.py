"""Libraries are imported without what a worker never uses, and code that needs it gets the real package."""

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, Final

import pytest

from qda_worker.models.library_imports import LazyName, avoid_later_imports
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


def pairs(*_tensors: Any) -> tuple[list[int], bool]:
    return [7], True


def plain(*_tensors: Any) -> list[int]:
    return [7]


class Libraries:
    """torch and a module of transformers, with the pieces that are replaced."""

    def __init__(self, permutation: Any = pairs) -> None:
        def original(*_arguments: Any) -> None:
            return None

        self.original = original
        self.embedding = SimpleNamespace(reset_parameters=original)
        self.prims = SimpleNamespace(compute_elementwise_output_logical_to_physical_perm=permutation)
        self.torch = SimpleNamespace(
            nn=SimpleNamespace(Embedding=self.embedding), _prims_common=self.prims, _check_with=original
        )
        self.utils = SimpleNamespace(is_torch_distributed_available=original)

    def places(self) -> dict[str, tuple[Any, str]]:
        return {
            "values": (self.embedding, "reset_parameters"),
            "check": (self.torch, "_check_with"),
            "permutation": (self.prims, "compute_elementwise_output_logical_to_physical_perm"),
            "distributed": (self.utils, "is_torch_distributed_available"),
        }

    def replaced(self) -> set[str]:
        """Replace what there is, and return the names of what was."""
        avoid_later_imports(self.torch, lambda _name: self.utils)
        return {
            name
            for name, (owner, attribute) in self.places().items()
            if getattr(owner, attribute, self.original) not in (self.original, pairs, plain)
        }


def test_a_piece_that_a_version_lacks_does_not_matter_for_the_others() -> None:
    every = Libraries().places().keys()
    assert Libraries().replaced() == every
    for missing in every:
        libraries = Libraries()
        owner, attribute = libraries.places()[missing]
        delattr(owner, attribute)
        assert libraries.replaced() == every - {missing}


def test_a_module_that_a_version_lacks_does_not_matter() -> None:
    def import_module(name: str) -> Any:
        raise ModuleNotFoundError(name)

    libraries = Libraries()
    avoid_later_imports(libraries.torch, import_module)
    assert libraries.torch._check_with is not libraries.original


def test_a_function_with_a_result_of_another_form_is_kept() -> None:
    """torch 2.6 to 2.8 return a list."""
    assert "permutation" not in Libraries(plain).replaced()


def test_a_class_that_was_taken_during_the_import_works_afterwards() -> None:
    finder = SimpleNamespace(active=True)
    lazy: Any = LazyName("Fraction", (), {"module": "fractions", "finder": finder})
    with pytest.raises(AttributeError):
        _ = lazy.from_float
    finder.active = False
    assert lazy.from_float(0.5) == lazy(1, 2)
