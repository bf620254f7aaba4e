"""The small spaCy package with a newer version number, for tests of an upgrade."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any, Final

VERSION: Final = "3.8.1"


def newer(wheel: Path) -> tuple[str, bytes]:
    """Return name and content of the same wheel with version 3.8.1 in its names, metadata and RECORD."""
    package, version, *_ = wheel.name.split("-")
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(wheel) as old:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(("meta.json", "METADATA", "__init__.py")):
                content = content.replace(version.encode(), VERSION.encode())
            files[_renamed(name, package, version)] = content
    record = f"{package}-{VERSION}.dist-info/RECORD"
    del files[record]
    rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[record] = "\n".join([*rows, f"{record},,", ""]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in files.items():
            new.writestr(zipfile.ZipInfo(name), content)
    return wheel.name.replace(version, VERSION), packed.getvalue()


def with_newer(catalog: dict[str, Any], name: str, content: bytes) -> dict[str, Any]:
    """Return the catalog with the newer package."""
    for model in catalog["models"]:
        if "spacy" in model:
            url = model["spacy"]["url"].rpartition("/")[0] + f"/{name}"
            model["spacy"] |= {"version": VERSION, "url": url, "sha256": hashlib.sha256(content).hexdigest()}
    return catalog


def _renamed(name: str, package: str, version: str) -> str:
    return name.replace(f"{package}-{version}", f"{package}-{VERSION}")


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
