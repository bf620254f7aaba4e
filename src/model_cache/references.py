"""References: which release, or which catalog of a host, needs which generation.

Each reference is a small file in the cache. `cache-warmer collect` keeps what a live reference names and may delete the
rest. The reference of a release is live while its Deployment exists; one without a Deployment is live until it is
removed with `collect --forget`. The warmer writes references while it holds the lease, after everything that they name
is published.

Several clusters and hosts may mount one volume, with releases and catalogs of the same names. So a reference carries
the identity of its cluster or host, which is also a part of its file's name: none overwrites that of another. Only the
cluster of a reference can tell whether its Deployment exists; everywhere else it is live.

Before a warm fetches, it notes in its reference the models that are `pending`: what it has verified of them by the time
it fails belongs to nobody yet, and the next run goes on from there.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from model_cache.errors import ManifestInvalid
from model_cache.file_io import read_small_file
from model_cache.json_values import parse_json_object, to_json_value
from model_cache.manifest import API_VERSION
from model_cache.places import PlaceName, Places

KIND: Final = "CacheReference"
# Limit of a reference's file, in bytes. A model needs about 150 of them.
MAX_REFERENCE_BYTES: Final = 2**20

# `namespace/release`, both as Kubernetes names.
_RELEASE: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_HEX64: Final = re.compile(r"[0-9a-f]{64}")
# Fields that are left out while they are empty.
_OPTIONAL: Final = ("cluster", "host", "pending")
_REMEDY: Final = "warm its release again, or remove it with `cache-warmer collect --forget NAME`"


class PendingModel(NamedTuple):
    """A model that a warm has begun to fetch.

    Attributes:
        digest: see `model_cache.catalog.catalog.model_digest`.
        place, folder: where its files lie (`model_cache.record_rules.source_folder`).
    """

    digest: str
    place: PlaceName
    folder: str


class Reference(NamedTuple):
    """One user of the cache.

    Attributes:
        name: `namespace/release` in a cluster; elsewhere `default`, the catalog's path, or the value of `--reference`.
        generation: the generation of its catalog.
        models: the digest (`model_cache.catalog.catalog.model_digest`) of each warmed model, by key.
        namespace, deployment: the Deployment whose existence keeps it live; empty: it is live until it is removed.
        updated: time of writing, in UTC (RFC 3339).
        cluster: identity of the cluster of that Deployment; empty: not known.
        host: identity of the host that wrote it, outside a cluster; empty: not known.
        pending: models of a warm that has not ended well since.
    """

    name: str
    generation: str
    models: Mapping[str, str]
    namespace: str = ""
    deployment: str = ""
    updated: str = ""
    cluster: str = ""
    host: str = ""
    pending: tuple[PendingModel, ...] = ()

    @property
    def owner(self) -> str:
        """The identity of the cluster or host that it belongs to; empty: not known."""
        return self.cluster or self.host


def references_folder(places: Places) -> Path:
    """Return the folder of the references."""
    return places.own.path / "references"


def reference_path(places: Places, name: str, owner: str = "") -> Path:
    """Return the path of one reference.

    It is `<namespace>_<release>.json` for a release whose cluster is not known, and `<namespace>_<release>-<hash>.json`
    with a hash of name and cluster. The file of any other name has the printable part of the name and a hash of name
    and host.

    Args:
        places: of the cache.
        name: of the reference.
        owner: identity of its cluster or host; empty: not known.
    """
    unique = hashlib.sha256("\0".join([name, owner] if owner else [name]).encode()).hexdigest()[:8]
    if _RELEASE.fullmatch(name) and len(name) <= 200:
        end = f"-{unique}" if owner else ""
        return references_folder(places) / f"{name.replace('/', '_')}{end}.json"
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.")[-80:]
    return references_folder(places) / f"{plain}-{unique}.json"


def dump_reference(reference: Reference) -> bytes:
    """Return the reference as JSON in UTF-8, with a line break at the end."""
    fields = {name: value for name, value in reference._asdict().items() if value or name not in _OPTIONAL}
    document = to_json_value({"apiVersion": API_VERSION, "kind": KIND, **fields})
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def parse_reference(content: bytes) -> Reference:
    """Return the reference of a file's content.

    Raises:
        ManifestInvalid: the content is not a reference.
    """
    try:
        document = parse_json_object(content)
        if document["apiVersion"] != API_VERSION or document["kind"] != KIND:
            raise ValueError(f"not a {KIND} of {API_VERSION}")
        models = document["models"]
        if not isinstance(models, dict):
            raise TypeError(f"it has {type(models).__name__} where an object should be")
        reference = Reference(
            name=_text(document["name"]),
            generation=_hex64(document["generation"]),
            models={_text(key): _hex64(digest) for key, digest in models.items()},
            namespace=_text(document.get("namespace", "")),
            deployment=_text(document.get("deployment", "")),
            updated=_text(document.get("updated", "")),
            cluster=_text(document.get("cluster", "")),
            host=_text(document.get("host", "")),
            pending=tuple(
                PendingModel(_hex64(one["digest"]), PlaceName(_text(one["place"])), _text(one["folder"]))
                for one in document.get("pending", [])
            ),
        )
    except KeyError as error:
        raise ManifestInvalid(f"{error} is missing", _REMEDY) from error
    except (ValueError, TypeError) as error:
        raise ManifestInvalid(f"not a reference ({error})", _REMEDY) from error
    if not reference.name:
        raise ManifestInvalid("not a reference (it has no name)", _REMEDY)
    return reference


def read_references(places: Places) -> tuple[dict[Path, Reference], dict[Path, str]]:
    """Read all references of a cache.

    Returns:
        The references by file, and the files that cannot be read, each with the cause. A caller that deletes must not
        treat an unreadable reference as one that needs nothing.

    Raises:
        OSError: the folder cannot be listed.
    """
    references: dict[Path, Reference] = {}
    unreadable: dict[Path, str] = {}
    folder = references_folder(places)
    if not folder.is_dir():
        return references, unreadable
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith("."):  # a temporary file
            continue
        try:
            references[path] = parse_reference(read_small_file(path, MAX_REFERENCE_BYTES))
        except FileNotFoundError:  # removed since the folder was listed
            continue
        except (OSError, ManifestInvalid) as error:
            unreadable[path] = error.message if isinstance(error, ManifestInvalid) else str(error)
    return references, unreadable


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"it has {type(value).__name__} where text should be")
    return value


def _hex64(value: object) -> str:
    text = _text(value)
    if not _HEX64.fullmatch(text):
        raise ValueError(f"it has {text[:80]!r} where a sha256 should be")
    return text
