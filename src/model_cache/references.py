"""Who needs which generation: a small file for each release, or for each catalog of a host.

What no live reference names may be deleted. A release of a cluster is live while its Deployment exists; a reference
without one lives until somebody forgets it. Written by the warmer, under the lease, when all that is named is there.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from model_cache.errors import ManifestInvalid
from model_cache.manifest import API_VERSION
from model_cache.places import Places

KIND: Final = "CacheReference"
_RELEASE: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_HEX64: Final = re.compile(r"[0-9a-f]{64}")
_REMEDY: Final = "let its release warm again, or drop it with `cache-warmer collect --forget NAME`"


class Reference(NamedTuple):
    """One user of the cache.

    Attributes:
        name: `namespace/release` of a cluster; elsewhere `default`, the catalog's path, or as told.
        generation: of its catalog.
        models: the digest (`digest.model_digest`) of each model that was warmed, by key.
        namespace, deployment: the Deployment that it lives with; empty: it lives until it is forgotten.
        updated: when it was written, in UTC (RFC 3339).
    """

    name: str
    generation: str
    models: Mapping[str, str]
    namespace: str = ""
    deployment: str = ""
    updated: str = ""


def references_folder(places: Places) -> Path:
    """Return where the references lie, a file each."""
    return places.own.path / "references"


def reference_path(places: Places, name: str) -> Path:
    """Return the file of one reference: `<namespace>_<release>.json` for a release."""
    if _RELEASE.fullmatch(name) and len(name) <= 200:
        return references_folder(places) / f"{name.replace('/', '_')}.json"
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.")[-80:]
    return references_folder(places) / f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.json"


def dump_reference(reference: Reference) -> bytes:
    """Return the reference as JSON in UTF-8, with a line break at the end."""
    document: dict[str, object] = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        **reference._asdict(),
        "models": dict(reference.models),
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def parse_reference(content: bytes) -> Reference:
    """Read what `dump_reference` wrote. Raises `ManifestInvalid`."""
    try:
        document = json.loads(content)
        if document["apiVersion"] != API_VERSION or document["kind"] != KIND:
            raise ValueError(f"not a {KIND} of {API_VERSION}")
        models = document["models"]
        found = Reference(
            name=_text(document["name"]),
            generation=_hex64(document["generation"]),
            models={_text(key): _hex64(digest) for key, digest in models.items()},
            namespace=_text(document.get("namespace", "")),
            deployment=_text(document.get("deployment", "")),
            updated=_text(document.get("updated", "")),
        )
    except KeyError as error:
        raise ManifestInvalid(f"{error} is missing", _REMEDY) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestInvalid(f"not a reference ({error})", _REMEDY) from error
    if not found.name:
        raise ManifestInvalid("not a reference (it has no name)", _REMEDY)
    return found


def read_references(places: Places) -> tuple[dict[Path, Reference], dict[Path, str]]:
    """Return the references by file, and the files that cannot be read, with why. Raises `OSError` for the folder.

    Whoever deletes must not take a file that cannot be read for one that needs nothing.
    """
    found: dict[Path, Reference] = {}
    bad: dict[Path, str] = {}
    folder = references_folder(places)
    if not folder.is_dir():
        return found, bad
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):  # one that is just being written
            continue
        try:
            found[path] = parse_reference(path.read_bytes())
        except FileNotFoundError:  # forgotten meanwhile
            continue
        except (OSError, ManifestInvalid) as error:
            bad[path] = error.message if isinstance(error, ManifestInvalid) else str(error)
    return found, bad


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"it has {type(value).__name__} where text should be")
    return value


def _hex64(value: object) -> str:
    text = _text(value)
    if not _HEX64.fullmatch(text):
        raise ValueError(f"it has {text[:80]!r} where a sha256 should be")
    return text
