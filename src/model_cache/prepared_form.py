"""Prepared forms: a model in another precision, made from its files, beside the cache's generations.

`qda-worker prepare` writes a form into a folder, `cache-warmer publish` copies it into the cache, and the worker loads
it if its catalog asks for that precision. A form belongs to no generation, and no generation needs one. The folder
holds `form.json` and the files that this lists, nothing else:

    {"version": 1, "model": KEY, "task": TASK, "source": {"repository" or "package": NAME, "revision": REVISION},
     "precision": "bf16" or "int8",
     "source_files": [{"path", "size", "sha256"}], "files": [{"path", "size", "sha256"}],
     "recipe": {...}, "versions": {NAME: VERSION}, "made_on": {...},
     "gate": {"passed": true, "texts": N, "figures": {VARIANT: {NAME: {"value", "threshold", "passed"}}}}}

`source_files` are the weights and the configuration that it was made from, with paths in the model's folder
(`model_cache.layout.model_folder`). A form may hold several variants, such as one for each engine; each has its own
figures of the accuracy gate. Every figure is a similarity to fp32: higher is better. The files of a variant lie in the
folder of its name; files outside all of these belong to every variant.

This module is the record alone. `model_cache.prepared_store` finds forms in a cache, and
`model_cache.check.prepared_forms` compares their files.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from model_cache.catalog.catalog import MODEL_KEY, Model, Precision, SpacySource, Task
from model_cache.errors import ModelCacheError
from model_cache.formatting import printable
from model_cache.json_values import json_list, json_object, json_text, parse_json_object, to_json_value
from model_cache.manifest import MAX_FILE_BYTES
from model_cache.reasons import Reason
from model_cache.safe_names import unwritable_reason

VERSION: Final = 1
# Name of the record in the folder of a form.
RECORD_NAME: Final = "form.json"
# Limit of the record's size in bytes; one of 1,000 files has 200 kB.
MAX_RECORD_BYTES: Final = 4 * 2**20
# Suffixes of the files that hold weights: a form names each of its source.
WEIGHTS_SUFFIXES: Final = (".safetensors", ".bin", ".pt")

_HEX64: Final = re.compile(r"[0-9a-f]{64}")
_VARIANT: Final = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._]{0,99}")
# A commit, or the version of a package.
_REVISION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+]{0,63}")


class FormInvalid(ModelCacheError):
    """The record of a prepared form is missing, truncated, changed, unsafe, or of another version.

    Attributes:
        file: its name in messages.
        detail: what is wrong, as the end of a sentence that begins with the file.
    """

    reason = Reason.CACHE_CORRUPT

    def __init__(self, file: str, why: str) -> None:
        self.file = printable(file)
        self.detail = printable(f"is no record of a prepared form that can be trusted: {why}")
        super().__init__(
            f"{self.file} {self.detail}",
            "make the form again with `qda-worker prepare`, then run `cache-warmer publish`",
        )


class FormFile(NamedTuple):
    """One file of a form, or of its source.

    Attributes:
        path: relative POSIX path in the folder of the form, or of the model.
        size: in bytes.
        sha256: 64 lower-case hex digits.
    """

    path: str
    size: int
    sha256: str


class FormSource(NamedTuple):
    """What a form was made from.

    Attributes:
        kind: `repository` or `package`.
        name: of the repository or package.
        revision: the commit or version.
    """

    kind: str
    name: str
    revision: str


def source_of(model: Model) -> FormSource:
    """Return the source of the forms that are made of a model."""
    kind = "package" if isinstance(model.source, SpacySource) else "repository"
    return FormSource(kind, model.source_name, model.revision)


class GateFigure(NamedTuple):
    """One figure of the accuracy gate: a similarity to fp32, and the least value that passes."""

    value: float
    threshold: float
    passed: bool


class Gate(NamedTuple):
    """The result of the accuracy gate.

    Attributes:
        passed: whether every variant passed.
        texts: number of texts that were compared.
        figures: the figures by name, of each variant.
    """

    passed: bool
    texts: int
    figures: Mapping[str, Mapping[str, GateFigure]]


class PreparedForm(NamedTuple):
    """The record of a prepared form.

    Attributes:
        model, task: key and task of the model in the catalog.
        source: what it was made from.
        precision: number format of its weights and computation; never fp32.
        source_files: the weights and configuration that it was made from.
        files: its files, without the record itself.
        gate: the result of the accuracy gate.
        recipe: how it was made; a JSON object without a fixed form.
        versions: versions of the libraries that made it, by name.
        made_on: the machine that made it; a JSON object without a fixed form.
    """

    model: str
    task: Task
    source: FormSource
    precision: Precision
    source_files: tuple[FormFile, ...]
    files: tuple[FormFile, ...]
    gate: Gate
    recipe: Mapping[str, Any] = MappingProxyType({})
    versions: Mapping[str, str] = MappingProxyType({})
    made_on: Mapping[str, Any] = MappingProxyType({})

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of its variants."""
        return tuple(self.gate.figures)

    @property
    def bytes(self) -> int:
        """The size of its files without the record."""
        return sum(file.size for file in self.files)

    def files_of(self, variant: str) -> tuple[FormFile, ...]:
        """Return the files in the folder of a variant, and those that belong to every variant."""
        others = tuple(f"{name}/" for name in self.variants if name != variant)
        return tuple(file for file in self.files if not file.path.startswith(others))


def dump_form(form: PreparedForm) -> bytes:
    """Return the record as indented JSON in UTF-8, with a line break at the end."""
    document = {
        "version": VERSION,
        "model": form.model,
        "task": form.task,
        "source": {form.source.kind: form.source.name, "revision": form.source.revision},
        **{name: value for name, value in form._asdict().items() if name not in ("model", "task", "source")},
    }
    text = json.dumps(to_json_value(document), indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def parse_form(content: bytes, where: str = RECORD_NAME) -> PreparedForm:
    """Return the form of a record's content.

    Args:
        content: of the file.
        where: the file's name in messages.

    Raises:
        FormInvalid: it is not a record of this version, or names an unsafe path.
    """
    try:
        content.decode()  # of JSON's encodings, UTF-8 alone
        document = parse_json_object(content)
        version = document["version"]
        if type(version) is not int or version != VERSION:
            raise ValueError(f"it has the version {version!r:.40}, and this program reads {VERSION}")
        return _form_from_json(document)
    except KeyError as error:
        raise FormInvalid(where, f"{error} is missing") from error
    except (TypeError, ValueError) as error:
        raise FormInvalid(where, str(error)) from error


def gate_failure(form: PreparedForm) -> str:
    """Return why a form has not passed its accuracy gate, as a clause; empty if every variant passed."""
    for variant, figures in form.gate.figures.items():
        for name, figure in figures.items():
            if not figure.passed or figure.value < figure.threshold:
                return f"{name} of {variant} is {figure.value:g}, where {figure.threshold:g} is needed"
        if not figures:
            return f"nothing was measured of {variant}"
    if not form.gate.figures or form.gate.texts < 1:
        return "nothing was measured"
    return "" if form.gate.passed else "its record says so"


def source_mismatch(form: PreparedForm, source_hashes: Mapping[str, str]) -> str:
    """Return why a form was not made from a model's files, as a predicate; empty if it was.

    Args:
        form: the form.
        source_hashes: the sha256 of every file of the model, by path in the model's folder
            (`model_cache.prepared_store.source_hashes`).
    """
    made_from = {file.path: file.sha256 for file in form.source_files}
    for path, sha256 in made_from.items():
        if source_hashes.get(path) != sha256:
            found = source_hashes.get(path, "no such file")
            return f"was made from {path} with the sha256 {sha256}, where the cache has {found}"
    for path in source_hashes:
        if path.endswith(WEIGHTS_SUFFIXES) and path not in made_from:
            return f"does not say from which {path} it was made"
    return ""


def digest_of(record: bytes) -> str:
    """Return the digest of a form: the sha256 of the content of its record."""
    return hashlib.sha256(record).hexdigest()


def _form_from_json(document: Mapping[str, Any]) -> PreparedForm:
    key, precision = json_text(document["model"]), Precision(document["precision"])
    if not MODEL_KEY.fullmatch(key):
        raise ValueError(f"it names the model {key!r:.80}, which no catalog can have")
    if precision is Precision.FP32:
        raise ValueError("it has the precision fp32, for which no form is needed")
    form = PreparedForm(
        model=key,
        task=Task(document["task"]),
        source=_source(json_object(document["source"])),
        precision=precision,
        source_files=_files(document["source_files"]),
        files=_files(document["files"]),
        gate=_gate(json_object(document["gate"])),
        recipe=json_object(document["recipe"]),
        versions={name: json_text(version) for name, version in json_object(document["versions"]).items()},
        made_on=json_object(document["made_on"]),
    )
    if any(file.path == RECORD_NAME for file in form.files):
        raise ValueError(f"it lists {RECORD_NAME} itself")
    if not form.files or not form.source_files:
        raise ValueError("it lists no file" if not form.files else "it lists no file of its source")
    return form


def _source(value: Mapping[str, Any]) -> FormSource:
    kinds = [kind for kind in ("repository", "package") if kind in value]
    if len(kinds) != 1:
        raise ValueError("its source has no repository and no package" if not kinds else "it has two sources")
    revision = json_text(value["revision"])
    if not _REVISION.fullmatch(revision):
        raise ValueError(f"it gives its source the revision {revision!r:.80}")
    return FormSource(kinds[0], json_text(value[kinds[0]]), revision)


def _files(value: object) -> tuple[FormFile, ...]:
    files: dict[str, FormFile] = {}
    for one in json_list(value):
        entry = json_object(one)
        path, size, sha256 = json_text(entry["path"]), entry["size"], json_text(entry["sha256"])
        if reason := unwritable_reason(path):
            raise ValueError(f"it lists the path {path!r:.200}, which {reason}")
        if path in files:
            raise ValueError(f"it lists {path} twice")
        if type(size) is not int or not 0 <= size <= MAX_FILE_BYTES:
            raise ValueError(f"it gives {path} the size {size!r:.40}")
        if not _HEX64.fullmatch(sha256):
            raise ValueError(f"it gives {path} the sha256 {sha256!r:.80}")
        files[path] = FormFile(path, size, sha256)
    folders = {path[:at] for path in files for at, character in enumerate(path) if character == "/"}
    if nested := sorted(folders & files.keys()):
        raise ValueError(f"it lists {nested[0]}, which is a folder of other files, too")
    return tuple(files.values())


def _gate(value: Mapping[str, Any]) -> Gate:
    passed, texts = value["passed"], value["texts"]
    if type(passed) is not bool or type(texts) is not int:
        raise TypeError("its gate does not say whether it passed, and with how many texts")
    figures = {
        variant: {name: _figure(name, json_object(figure)) for name, figure in json_object(named).items()}
        for variant, named in json_object(value["figures"]).items()
    }
    if unsafe := [variant for variant in figures if not _VARIANT.fullmatch(variant)]:
        raise ValueError(f"it has a variant with the name {unsafe[0]!r:.120}")
    return Gate(passed, texts, figures)


def _figure(name: str, value: Mapping[str, Any]) -> GateFigure:
    numbers = (value["value"], value["threshold"])
    if any(type(one) not in (int, float) or not math.isfinite(one) for one in numbers):
        raise ValueError(f"its gate gives {name!r:.80} a value that is no finite number")
    if type(value["passed"]) is not bool:
        raise TypeError(f"its gate does not say whether {name!r:.80} passed")
    return GateFigure(float(numbers[0]), float(numbers[1]), value["passed"])
