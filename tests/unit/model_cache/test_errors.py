"""The remedy of an invalid catalog names a file that its reader can change."""

from typing import Final

from model_cache.errors import CatalogInvalid, CatalogProblem

UNPINNED: Final = CatalogProblem(
    "/etc/qda-worker/catalog.yaml", 9, "models[0].huggingface.revision", "main", "a commit"
)
WRONG: Final = CatalogProblem("/etc/qda-worker/catalog.yaml", 9, "models[0].task", "dance", "sentiment")


def test_in_a_pod_the_remedy_names_the_original_of_the_catalog() -> None:
    for problem in (UNPINNED, WRONG):
        remedy = CatalogInvalid([problem], may_write=lambda _: False).remedy
        assert remedy is not None
        assert "/etc/qda-worker" not in remedy
        assert remedy.endswith("then use that file (with the chart: `--set-file catalog=FILE`)")


def test_elsewhere_the_remedy_names_the_file_itself() -> None:
    remedy = CatalogInvalid([WRONG], may_write=lambda _: True).remedy
    assert remedy == "correct the catalog at these lines, then run the same command again"


def test_a_catalog_without_a_file_is_no_copy() -> None:
    problem = WRONG._replace(file="no-such-file.yaml", line=0)
    assert "give a catalog that exists" in str(CatalogInvalid([problem]))
