"""The languages by HTTP that CI does not install: PHP with its curl extension, and R with httr2."""

from typing import Final

import pytest

from tests.support.example_programs import ROOT, interview_rows, needed, run

EXAMPLES: Final = ROOT / "examples"
PROGRAMS: Final = {
    "http/interview.php": ("php", "apt-get install --no-install-recommends php-cli php-curl"),
    "http/interview.R": ("Rscript", "apt-get install --no-install-recommends r-base-core r-cran-httr2"),
}


@pytest.mark.parametrize("script", PROGRAMS)
def test_other_languages_get_what_node_gets(url: str, script: str) -> None:
    program = needed(*PROGRAMS[script])
    node = needed("node", "install Node.js 18 or newer")
    expected = interview_rows(run([node, str(EXAMPLES / "http/interview.mjs")], url))
    assert interview_rows(run([program, str(EXAMPLES / script)], url)) == expected
