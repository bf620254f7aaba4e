"""The pages for users: links and anchors lead somewhere, and the values and options that they name exist."""

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cache_warmer.cli import cache_warmer
from model_cache.check.cli import cache_check
from qda_worker.cli import qda_worker
from qda_worker.client.cli.main import qda_client

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = sorted(
    [
        *(ROOT / "docs").glob("*.md"),
        *(
            ROOT / name
            for name in (
                "README.md",
                "CONTRIBUTING.md",
                "CHANGELOG.md",
                "benchmarks/README.md",
                "examples/README.md",
            )
        ),
        *(ROOT / "charts/qda-worker").glob("README.md*"),
    ]
)
VALUES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "charts/qda-worker/values.yaml").read_text("utf-8"))
# Values that Kubernetes defines: what is below them is not in values.yaml.
OPEN_VALUES: Final = {"resources", "podSecurityContext", "containerSecurityContext", "labels", "annotations"}

_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"`([^`]+)`")
_VALUE: Final = re.compile(
    r"(?<![\w./:$-])((?:worker|cache|cacheWarmer|hub|image|podSecurityContext)\.[a-zA-Z_.]+)"
)
_HOST: Final = re.compile(r"\.(example|svc|org|yaml|json)\b")
_OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_CALL: Final = re.compile(r"(?<![\w/.-])(cache-warmer|cache-check|qda-worker|qda-client)(?= )([^|&;`)\n]*)")

PROGRAMS: Final[dict[str, tuple[Callable[..., int], tuple[str, ...]]]] = {
    "cache-check": (cache_check, ("",)),
    "cache-warmer": (
        cache_warmer,
        (
            "plan",
            "warm",
            "env",
            "lock",
            "repair",
            "verify",
            "collect",
            "export",
            "import",
            "doctor",
            "explain",
        ),
    ),
    "qda-worker": (qda_worker, ("serve",)),
    "qda-client": (
        qda_client,
        (
            "sentiment",
            "entities",
            "embed",
            "paraphrases",
            "analyze",
            "models",
            "cache",
            "health",
            "report",
            "cite",
            "convert",
            "pseudonymize",
        ),
    ),
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its fenced and indented blocks."""
    kept, fenced = [], False
    for line in page.read_text("utf-8").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            kept.append(line)
    return "\n".join(kept)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = [line.lstrip("#").strip() for line in prose(page).splitlines() if line.startswith("#")]
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {f"{slug}-{slugs[:i].count(slug)}" if slug in slugs[:i] else slug for i, slug in enumerate(slugs)}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for target in _LINK.findall(re.sub(_CODE, "", prose(page))):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_the_overview_leads_to_each_page() -> None:
    overview = (ROOT / "docs/index.md").read_text("utf-8")
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert [str(page) for page in pages if f"]({page}" not in overview and page.name != "index.md"] == []


def test_the_readme_is_short_and_leads_to_the_overview() -> None:
    """What a newcomer wants to see fits on two screens: what it is, a picture, two commands, links."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 110
    assert "](docs/index.md)" in readme
    assert readme.index("report.webp") < readme.index("make demo") < readme.index("](docs/index.md)")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_value_of_the_chart_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    named = {found.rstrip(".") for found in _VALUE.findall(text)}
    named -= log_events()  # such as `cache.damaged`
    assert sorted(one for one in named if not _HOST.search(one) and not _is_value(one)) == []


@cache
def log_events() -> frozenset[str]:
    """Return the names in the worker's sources that may be those of log events."""
    sources = (file.read_text("utf-8") for file in (ROOT / "src" / "qda_worker").rglob("*.py"))
    return frozenset(name for source in sources for name in re.findall(r'"([a-z]+\.[a-z_]+)"', source))


def _is_value(path: str) -> bool:
    found: Any = VALUES
    for part in path.split("."):
        if part in OPEN_VALUES:
            return True
        if not isinstance(found, dict) or (found and part not in found):
            return False
        if not found:  # a map without defaults
            return True
        found = found[part]
    return True


@cache
def options(program: str, command: str) -> frozenset[str]:
    """Return the options of a program's command, as its help names them."""
    help_text = io.StringIO()
    main, _ = PROGRAMS[program]
    with contextlib.redirect_stdout(help_text), contextlib.suppress(SystemExit):
        main([*([command] if command else []), "--help"], {})
    return frozenset(_OPTION.findall(help_text.getvalue())) | {"--version"}


def calls(page: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield program, command and options of each call of our programs on a page."""
    text = re.sub(r"\\\n", " ", page.read_text("utf-8"))
    for program, arguments in _CALL.findall(text):
        words = arguments.partition("#")[0].split()
        _, commands = PROGRAMS[program]
        command = next((word for word in words if word in commands), "")
        named = _OPTION.findall(" ".join(words))
        if command or program == "cache-check":
            yield program, command, named


def test_calls_of_each_program_are_found() -> None:
    assert {program for page in PAGES for program, _, _ in calls(page)} == set(PROGRAMS)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_option_of_our_programs_that_a_page_names_exists(page: Path) -> None:
    wrong = {
        f"{program} {command} {option}"
        for program, command, named in calls(page)
        for option in named
        if option not in options(program, command)
    }
    assert wrong == set()
