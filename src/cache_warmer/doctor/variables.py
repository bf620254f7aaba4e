"""Variables that decide where libraries look for models: those that are ignored, contradict each other, or mislead.

Libraries silently ignore variables of former versions, and models are then fetched into another folder. What each
library reads was looked up in its source (huggingface_hub 2.4, transformers 4 and 5, sentence-transformers 6, spaCy 3).
Only the value of variables that hold paths, addresses and switches is shown.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from cache_warmer.doctor.diagnosis import Finding, Severity
from cache_warmer.doctor.libraries import major_version
from cache_warmer.hub.environment import PROXY_VARIABLES, TOKEN_VARIABLES
from model_cache.check.notes import FORMER_VARIABLES, ignored_variables
from model_cache.cli.options import OFFLINE_VARIABLES, TRUE_WORDS, offline_variables, symlinks_disabled
from model_cache.layout import REPOSITORY_PREFIX
from model_cache.places import HOST, Places
from model_cache.reasons import Reason
from model_cache.urls import shown_value

# Variables with a folder. An empty one means the working folder to huggingface_hub.
_FOLDERS: Final = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME")
_SWITCHES: Final = (
    *OFFLINE_VARIABLES,
    "HF_HUB_DISABLE_SYMLINKS",
    "HF_HUB_DISABLE_XET",
    "HF_HUB_DISABLE_SHARED_BLOBS",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
)
_FALSE: Final = frozenset({"0", "OFF", "NO", "FALSE"})
_PROXIES: Final = (*PROXY_VARIABLES, "NO_PROXY")
# Variables that the report lists if they are set; of tokens, only that they are.
_SHOWN: Final = (
    *_FOLDERS,
    *FORMER_VARIABLES,
    *("SENTENCE_TRANSFORMERS_HOME", "SPACY_DATA", "HF_XET_CACHE", "HF_TOKEN_PATH"),
    *_SWITCHES,
    *("HF_ENDPOINT", "QDA_CACHE", "QDA_CATALOG", "QDA_RECORDS", "QDA_WHEEL_BASE", "QDA_CA_BUNDLE"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *_PROXIES,
    *map(str.lower, _PROXIES),
)


def shown_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that matter and are set, with values that can be shown."""
    shown = {name: shown_value(environ[name]) or "(empty)" for name in _SHOWN if name in environ}
    return shown | {
        name: "(set)" if environ[name] else "(empty)" for name in TOKEN_VARIABLES if name in environ
    }


def expand_home(value: str) -> Path:
    """Return the path of a value like the libraries: the home of an unknown user stays as it is written."""
    return Path(os.path.expanduser(value))


def check_variables(
    environ: Mapping[str, str], places: Places | None, versions: Mapping[str, str | None]
) -> Iterator[Finding]:
    """Yield the findings about variables.

    Args:
        environ: the environment.
        places: the places of the cache; None if they could not be found.
        versions: installed versions of libraries.
    """
    yield from _check_folders(environ)
    yield from _check_switches(environ)
    yield from _check_hub_folders(environ)
    if places is not None:
        yield from _check_ignored(environ, places, versions)


def _check_ignored(
    environ: Mapping[str, str], places: Places, versions: Mapping[str, str | None]
) -> Iterator[Finding]:
    hub = places.hub.path
    major = major_version(versions.get("transformers"))
    for name in ignored_variables(environ, places):
        value = shown_value(environ[name])
        if major is not None and major < 5:
            message = (
                f"{name} is {value}: transformers {versions['transformers']} looks there instead of {hub}"
            )
        else:
            message = f"{name} is {value}, and is ignored: transformers 5 uses {hub}, only version 4 read this variable"
        yield _warning(
            "ignored-variable",
            message,
            f"unset {name}; HF_HUB_CACHE or HF_HOME choose the folder for all libraries",
        )
    home = environ.get("SENTENCE_TRANSFORMERS_HOME", "")
    if home and Path(home) != hub:
        yield _warning(
            "second-cache",
            f"SENTENCE_TRANSFORMERS_HOME is {shown_value(home)}: sentence-transformers looks there instead of {hub}, "
            "and fetches models a second time",
            "unset SENTENCE_TRANSFORMERS_HOME",
        )
    if environ.get("SPACY_DATA") and places.label == HOST:
        yield Finding(
            Severity.NOTE,
            "ignored-variable",
            Reason.USAGE,
            f"SPACY_DATA is {shown_value(environ['SPACY_DATA'])}: programs of this project read it, spaCy does not",
            "let other projects find the packages there with `cache-warmer env`",
        )
    if environ.get("HF_HUB_ENABLE_HF_TRANSFER"):
        yield Finding(
            Severity.NOTE,
            "ignored-variable",
            Reason.USAGE,
            "HF_HUB_ENABLE_HF_TRANSFER is set, and is ignored since huggingface_hub 1",
            "unset HF_HUB_ENABLE_HF_TRANSFER",
        )


def _check_folders(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name in _FOLDERS:
        value = environ.get(name)
        if value is None:
            continue
        if not value.strip():
            yield _warning(
                "empty-variable",
                f"{name} is set and empty: huggingface_hub and torch then use the working folder, this project the "
                "default",
                f"unset {name}, or give it a folder",
            )
        elif not value.startswith(("~", "$")) and not Path(value).is_absolute():
            yield _warning(
                "relative-folder",
                f"{name} is {shown_value(value)}, a relative path: each working folder has a cache of its own",
                f"give an absolute path in {name}",
            )


def _check_switches(environ: Mapping[str, str]) -> Iterator[Finding]:
    for name in _SWITCHES:
        value = environ.get(name, "")
        if value and value.upper() not in TRUE_WORDS | _FALSE:
            yield _warning(
                "unknown-value",
                f"{name} is {shown_value(value)[:40]}, which counts as off: on are 1, ON, YES, TRUE",
                f"set {name}=1, or unset it",
            )
    for name in offline_variables(environ):
        yield Finding(
            Severity.NOTE,
            "offline",
            Reason.USAGE,
            f"{name} is set: the libraries make no request, and `cache-warmer warm` refuses to fetch missing models",
            f"unset {name} for the warmer only; programs that read the cache keep it",
        )
    if symlinks_disabled(environ):
        yield Finding(
            Severity.NOTE,
            "links-disabled",
            Reason.OK,
            "HF_HUB_DISABLE_SYMLINKS is set: files that two commits of a model share are stored twice",
            "unset HF_HUB_DISABLE_SYMLINKS where symbolic links work",
        )


def _check_hub_folders(environ: Mapping[str, str]) -> Iterator[Finding]:
    cache, former, home = (
        environ.get(name, "") for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME")
    )
    if cache and former and Path(cache) != Path(former):
        yield _warning(
            "conflicting-variables",
            f"HF_HUB_CACHE is {shown_value(cache)}, HUGGINGFACE_HUB_CACHE is {shown_value(former)}: the first is used, "
            "old versions of huggingface_hub read only the second",
            "unset HUGGINGFACE_HUB_CACHE, or give both the same folder",
        )
    chosen, name = (cache, "HF_HUB_CACHE") if cache else (former, "HUGGINGFACE_HUB_CACHE")
    if home and chosen and Path(chosen) != Path(home) / "hub":
        yield Finding(
            Severity.NOTE,
            "conflicting-variables",
            Reason.USAGE,
            f"HF_HOME is {shown_value(home)}, {name} is {shown_value(chosen)}: models are in the latter, the token and "
            "other caches in the former",
            f"unset {name} if models should be in {shown_value(home)}/hub",
        )
    if chosen and _has_models(expand_home(chosen) / "hub") and not _has_models(expand_home(chosen)):
        yield _warning(
            "wrong-folder",
            f"{name} is {shown_value(chosen)}, which has no models; {shown_value(chosen)}/hub has",
            f"set {name} to {shown_value(chosen)}/hub, or HF_HOME to {shown_value(chosen)} instead of it",
        )
    if home and not chosen and _has_models(expand_home(home)) and not _has_models(expand_home(home) / "hub"):
        yield _warning(
            "wrong-folder",
            f"HF_HOME is {shown_value(home)}, which has models itself, but libraries look in {shown_value(home)}/hub",
            f"set HF_HUB_CACHE to {shown_value(home)} instead",
        )


def _has_models(folder: Path) -> bool:
    try:
        return any(path.name.startswith(REPOSITORY_PREFIX) for path in folder.iterdir())
    except (OSError, ValueError):  # absent or closed; a NUL
        return False


def _warning(check: str, message: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, check, Reason.USAGE, message, remedy)
