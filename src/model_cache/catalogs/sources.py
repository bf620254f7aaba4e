"""Reads where a model comes from, and refuses what would not pin it or would leave the cache."""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from model_cache.catalogs.catalog import HuggingFaceSource, SpacySource
from model_cache.catalogs.fields import Section
from model_cache.catalogs.nodes import Node, Scalar
from model_cache.safe_names import why_unsafe

_REPOSITORY_ALLOWED = (
    "ORG/NAME or NAME, each of letters, digits, - _ . (at most 96, no -- or .., "
    "- or . neither first nor last)"
)
_COMMIT_ALLOWED = "a commit, 40 lower-case hex digits (`cache-warmer lock` turns a branch or tag into one)"
_FILES_ALLOWED = "a list of file names or patterns, as [config.json, model.safetensors]"
_SHA256_ALLOWED = (
    "the wheel's sha256, 64 lower-case hex digits (`cache-warmer lock` fills in one that is missing)"
)
_PACKAGE_ALLOWED = "a package's import name of letters, digits and _, as de_core_news_lg"
_VERSION_ALLOWED = "the version in the wheel's name, as 3.8.0"
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_PACKAGE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+]{0,63}")


def read_huggingface(section: Section) -> HuggingFaceSource | None:
    """Return the source, or None if something of it is wrong (which is noted)."""
    section.allow(("repository", "revision", "files"))
    repository = section.text("repository", _REPOSITORY_ALLOWED)
    if repository is not None and not _is_repository(repository):
        section.wrong("repository", f'"{repository[:200]}"', _REPOSITORY_ALLOWED)
    revision = _hex(section, "revision", 40, _COMMIT_ALLOWED)
    files = _files(section.key, section.items("files", _FILES_ALLOWED), section)
    if repository is None or revision is None:
        return None
    return HuggingFaceSource(repository, revision, files)


def read_spacy(section: Section) -> SpacySource | None:
    """Return the source, or None if something of it is wrong (which is noted)."""
    section.allow(("package", "version", "url", "sha256"))
    package = section.text("package", _PACKAGE_ALLOWED)
    if package is not None and not _PACKAGE.fullmatch(package):
        section.wrong("package", f'"{package[:200]}"', _PACKAGE_ALLOWED)
    version = section.text("version", _VERSION_ALLOWED)
    if version is not None and not _VERSION.fullmatch(version):
        section.wrong("version", f'"{version[:200]}"', _VERSION_ALLOWED)
    url = section.text("url", "the http or https address of the wheel")
    sha256 = _hex(section, "sha256", 64, _SHA256_ALLOWED)
    if url is not None:
        _judge_url(section, url, package, version)
    if package is None or version is None or url is None or sha256 is None:
        return None
    return SpacySource(package, version, url, sha256)


def _is_repository(name: str) -> bool:
    parts = name.split("/")
    if len(parts) > 2 or "--" in name or ".." in name or name.endswith(".git"):
        return False
    return all(_NAME.fullmatch(part) for part in parts)


def _hex(section: Section, name: str, length: int, allowed: str) -> str | None:
    text = section.text(name, allowed, digits=True)
    if text is None or re.fullmatch(rf"[0-9a-f]{{{length}}}", text):
        return text
    lowered = text.strip().casefold()
    fits = re.fullmatch(rf"[0-9a-f]{{{length}}}", lowered)
    if re.fullmatch(r"[0-9a-fA-F]{7,}", text) and not fits:
        section.wrong(name, f'"{text[:80]}" ({len(text)} hex digits)', allowed)
    else:
        kind = " (a branch or tag)" if name == "revision" and not fits else ""
        section.wrong(name, f'"{text[:80]}"{kind}', allowed, lowered if fits else "")
    return None


def _files(key: str, nodes: Iterable[Node], section: Section) -> tuple[str, ...]:
    files: list[str] = []
    for index, node in enumerate(nodes):
        path = f"{key}.files[{index}]"
        if not isinstance(node, Scalar) or node.kind != "text":
            section.mistakes.add(node.line, path, str(node), "a file name or pattern, as text")
            continue
        unsafe = why_unsafe(node.text)
        if unsafe:
            allowed = "a relative path with / between its parts, inside the repository"
            section.mistakes.add(node.line, path, f"{node}, which {unsafe}", allowed)
        files.append(node.text)
    return tuple(files)


def _judge_url(section: Section, url: str, package: str | None, version: str | None) -> None:
    try:
        parts = urlsplit(url)
        host, secret = parts.hostname, parts.password or parts.username
        _ = parts.port  # raises if it is no number
    except ValueError as error:
        section.wrong("url", f"an address that cannot be read ({error})", "https://HOST/PATH/NAME.whl")
        return
    if secret:
        section.wrong("url", "an address with a user or password in it", "an address without secrets")
        return
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        section.wrong("url", f'"{ascii(url[:200])[1:-1]}"', "an address as https://HOST/PATH/NAME.whl")
        return
    name = unquote(parts.path.rpartition("/")[2])
    if package is not None and version is not None:
        shape = rf"{re.escape(package)}-{re.escape(version)}-[^-]+-[^-]+-[^-]+\.whl"
        if why_unsafe(name) or "/" in name or not re.fullmatch(shape, name):
            allowed = f"a wheel of that package and version, named {package}-{version}-py3-none-any.whl"
            section.wrong("url", f'the file name "{ascii(name[:200])[1:-1]}"', allowed)
