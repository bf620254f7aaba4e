"""docs/libraries.md is what its results say."""

from tests.library_matrix.table import PAGE, read_results, to_page


def test_the_page_is_generated_from_the_results() -> None:
    results = read_results()
    assert results
    assert PAGE.read_text("utf-8") == to_page(results)
