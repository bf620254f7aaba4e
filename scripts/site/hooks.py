"""Hooks of MkDocs (mkdocs.yml): pages of the repository that are not in docs/, and links that lead out of docs/.

The sources are written for reading in the repository, where relative links lead to any file. The site has the pages in
`EXTRA_PAGES` in addition to docs/, and a copy of every other file that a page links to, below `files/`. A link to a
folder or a missing file is a warning, which ends a strict build.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LOG = logging.getLogger("mkdocs.hooks.links")
ROOT = Path(__file__).resolve().parents[2]
# Pages outside of docs/, by their path in the repository: where they are on the site.
EXTRA_PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "README.md": "project/readme.md",
    "benchmarks/README.md": "project/benchmarking.md",
    "charts/qda-worker/README.md": "reference/chart.md",
    "examples/README.md": "examples.md",
}
# Folders that pages link to, and the page that has their content.
FOLDER_PAGES = {"proto/qda/v1": "reference/proto.md"}
_SOURCES = {site: source for source, site in EXTRA_PAGES.items()}
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_FENCED = re.compile(r"(^[ ]*```.*?^[ ]*```[^\n]*$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the extra pages, and the files that pages link to."""
    for source, site in EXTRA_PAGES.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / source)))
    for file in list(files.documentation_pages()):
        for target in _targets(file.src_uri, Path(str(file.abs_src_path)).read_text("utf-8")):
            site = f"files/{target}"
            if _is_copied(target) and files.get_file_from_path(site) is None:
                files.append(File.generated(config, site, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let each link lead to its target on the site."""
    here = page.file.src_uri

    def rewrite(match: re.Match[str]) -> str:
        target = _repository_path(here, match[2])
        site = _site_path(target) if target is not None else None
        if site is None:
            return match[0]
        return f"{match[1]}{posixpath.relpath(site, posixpath.dirname(here) or '.')}{match[3]}"

    parts = _FENCED.split(markdown)
    return "".join(part if number % 2 else _LINK.sub(rewrite, part) for number, part in enumerate(parts))


def _targets(here: str, markdown: str) -> list[str]:
    """Return the repository paths that a page links to."""
    prose = "".join(_FENCED.split(markdown)[::2])
    found = (_repository_path(here, match[2]) for match in _LINK.finditer(prose))
    return [target for target in found if target is not None]


def _repository_path(here: str, link: str) -> str | None:
    """Return what a link of the page at a site path leads to in the repository; None for other links."""
    if "://" in link or link.startswith(("mailto:", "/")):
        return None
    source = _SOURCES.get(here, f"docs/{here}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _site_path(target: str) -> str | None:
    """Return where a path of the repository is on the site; None if it is not there."""
    if target in EXTRA_PAGES:
        return EXTRA_PAGES[target]
    if target in FOLDER_PAGES:
        return FOLDER_PAGES[target]
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if _is_copied(target):
        return f"files/{target}"
    LOG.warning("a link leads to %s, which the site does not have", target)
    return None


def _is_copied(target: str) -> bool:
    return not target.startswith(("docs/", "..")) and target not in EXTRA_PAGES and (ROOT / target).is_file()
