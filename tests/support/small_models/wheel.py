"""Pack a trained pipeline like spaCy's release wheels, with the same bytes for the same pipeline.

The wheel has a package `NAME` with `__init__.py` and meta.json, the pipeline in `NAME/NAME-VERSION`, and a dist-info by
which `spacy.load` finds the installed package.
"""

import base64
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time of the zip format
_INIT: Final = """from pathlib import Path
from spacy.util import load_model_from_init_py, get_model_meta

__version__ = get_model_meta(Path(__file__).parent)["version"]


def load(**overrides):
    return load_model_from_init_py(__file__, **overrides)
"""
_WHEEL: Final = (
    "Wheel-Version: 1.0\nGenerator: qda-worker small models\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
)
_METADATA: Final = """\
Metadata-Version: 2.1
Name: {name}
Version: {version}
Summary: A small German pipeline.
License: MIT
"""


@dataclass(frozen=True, slots=True)
class WheelMetadata:
    """The package's import name and its version."""

    package: str
    version: str

    @property
    def file_name(self) -> str:
        return f"{self.package}-{self.version}-py3-none-any.whl"


def write_model_wheel(folder: Path, metadata: WheelMetadata, pipeline: Path) -> Path:
    """Write the wheel of the pipeline that `Language.to_disk` put into `pipeline`; returns its path."""
    package, inner = metadata.package, f"{metadata.package}/{metadata.package}-{metadata.version}"
    info = f"{package}-{metadata.version}.dist-info"
    name = package.replace("_", "-")
    contents = {
        f"{package}/__init__.py": _INIT.encode(),
        f"{package}/meta.json": (pipeline / "meta.json").read_bytes(),
        **{
            f"{inner}/{path.relative_to(pipeline).as_posix()}": path.read_bytes()
            for path in sorted(pipeline.rglob("*"))
            if path.is_file()
        },
        f"{info}/METADATA": _METADATA.format(name=name, version=metadata.version).encode(),
        f"{info}/WHEEL": _WHEEL.encode(),
        f"{info}/top_level.txt": f"{package}\n".encode(),
    }
    record = f"{info}/RECORD"
    lines = [f"{path},{_digest(content)},{len(content)}" for path, content in contents.items()]
    contents[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    wheel = folder / metadata.file_name
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return wheel


def _digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
