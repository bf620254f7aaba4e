"""The report of `cache-warmer adopt`: what was found, how it was verified, and what was or will be linked or copied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cache_warmer.adopt.layouts import DESCRIPTIONS, Layout
from cache_warmer.adopt.placement import Method
from cache_warmer.adopt.scan import Findings
from model_cache.formatting import count_of, human_bytes, printable
from model_cache.reasons import Reason

# Files of a model that the text names one by one.
_MAX_LISTED: Final = 20
_WORST_FIRST: Final = (Reason.NO_PERMISSION, Reason.CONTENT_MISMATCH)
_READ_REMEDY: Final = "let this user read it, then run the same command again"
_FETCH_REMEDY: Final = (
    "what was found besides can be adopted; `cache-warmer warm` fetches the rest where the hub can be reached"
)
_ARCHIVE_REMEDY: Final = "copy the archive again, and compare both files' sha256sum"
_NOTHING_REMEDY: Final = (
    "give the folder of the other cache, as HF_HOME or `cache_dir=` named it, or run `cache-warmer warm`"
)
_PAST: Final = {
    Method.LINK: "linked",
    Method.REFLINK: "reflinked",
    Method.COPY: "copied",
    Method.UNPACK: "unpacked",
}
_FUTURE: Final = {
    Method.LINK: "to link",
    Method.REFLINK: "to reflink",
    Method.COPY: "to copy",
    Method.UNPACK: "to unpack",
}


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """A model, a flat cache or an archive that was recognized.

    Attributes:
        layout: how its files lie.
        path: where it is.
        name: of the model, as the layout has it; empty: none.
    """

    layout: Layout
    path: str
    name: str


@dataclass(frozen=True, slots=True)
class AdoptedFile:
    """A file that has the expected content.

    Attributes:
        name: path in the repository, name of the wheel, or of the package.
        bytes: its size.
        sha256: of its content; empty for a package.
        found: where it was found.
        verified: what was compared: `sha256`, `git sha1` or `RECORD`.
        method: how it gets, or got, into the cache.
    """

    name: str
    bytes: int
    sha256: str
    found: str
    verified: str
    method: Method


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file that the model lacks still.

    Attributes:
        name: path in the repository, or name of the wheel.
        bytes: its size; None: not known.
        detail: what was found in its place; empty: nothing.
    """

    name: str
    bytes: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class ModelAdoption:
    """The result for one model of the catalog.

    Attributes:
        key, source, revision: as in the catalog.
        compared_with: what the content was compared with: `lock`, `hub` or `catalog`; empty: nothing was.
        cached: whether the cache had the whole model before.
        adopted: the files that were found.
        missing: the files that the cache lacks, beside those.
        reason: `OK` if nothing is missing; else why.
        detail: why the files could not be compared; empty if they were.
    """

    key: str
    source: str
    revision: str
    compared_with: str
    cached: bool
    adopted: tuple[AdoptedFile, ...]
    missing: tuple[MissingFile, ...]
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AdoptReport:
    """The document of `cache-warmer adopt --format json`.

    Attributes:
        reason: `OK`, or the reason that decides the exit code.
        generation: of the catalog.
        folder: the folder or file that was looked through.
        applied: whether anything was written.
        published: whether the cache has the whole generation now.
        found: what was recognized.
        unreadable: folders, files and archives that could not be read, with the reason.
        damaged: archives that are none, or cut short, with the reason.
        models: the models of the catalog.
        bytes: bytes of the adopted files by method; a content that several names share counts once.
        bytes_missing: bytes that `cache-warmer warm` still has to fetch, as far as they are known.
        message, remedy: what is wrong and what to do; empty if nothing is.
    """

    reason: Reason
    generation: str
    folder: str
    applied: bool
    published: bool
    found: tuple[FoundPlace, ...]
    unreadable: dict[str, str]
    damaged: dict[str, str]
    models: tuple[ModelAdoption, ...]
    bytes: dict[str, int]
    bytes_missing: int
    message: str = ""
    remedy: str = ""


def bytes_by_method(models: Sequence[ModelAdoption]) -> dict[str, int]:
    """Return the bytes of the adopted files by method; a content counts once, however many names it has."""
    contents = {
        file.sha256 or file.name: file for model in models for file in reversed(model.adopted)
    }  # reversed: the first name is the one that is linked or copied
    found: dict[str, int] = {}
    for file in contents.values():
        found[file.method] = found.get(file.method, 0) + file.bytes
    return found


def verdict(models: Sequence[ModelAdoption], folder: str, findings: Findings) -> tuple[Reason, str, str]:
    """Return the reason of the whole run, with message and remedy; both empty if it is `OK`.

    It is `OK` if everything that was found could be used, even if files remain to be fetched.
    """
    incomplete = [model for model in models if model.reason is not Reason.OK]
    if not incomplete:
        return Reason.OK, "", ""
    worst = next(
        (model for reason in _WORST_FIRST for model in incomplete if model.reason is reason),
        next((model for model in incomplete if model.reason is not Reason.CACHE_INCOMPLETE), None),
    )
    if findings.unreadable and (worst is None or worst.reason is not Reason.NO_PERMISSION):
        path, why = next(iter(findings.unreadable.items()))
        return Reason.NO_PERMISSION, f"{path} cannot be read: {why}", _READ_REMEDY
    if findings.damaged and worst is None:
        path, why = next(iter(findings.damaged.items()))
        return Reason.CONTENT_MISMATCH, f"{path}: {why}", _ARCHIVE_REMEDY
    if worst is not None:
        detail = worst.detail or next(file.detail for file in worst.missing if file.detail)
        remedy = _READ_REMEDY if worst.reason is Reason.NO_PERMISSION else _FETCH_REMEDY
        return worst.reason, f"{worst.key}: {detail}", remedy
    if any(model.adopted for model in models):
        return Reason.OK, "", ""
    what = "no file that the models lack" if findings.models else "no model in a layout that is known"
    return Reason.CACHE_INCOMPLETE, f"{folder} has {what}", _NOTHING_REMEDY


def to_lines(report: AdoptReport, next_command: str) -> list[str]:
    """Return the report as text.

    Args:
        report: the report.
        next_command: what completes the cache: `adopt --apply`, or `warm`; empty: nothing is to be done.
    """
    lines = [
        f"{report.folder}: {count_of(len(report.found), 'model or archive', 'models and archives')} found"
    ]
    lines += [
        f"  {DESCRIPTIONS[one.layout]}: {one.name or 'several models'} ({one.path})" for one in report.found
    ]
    lines += [f"  not read: {path}: {why}" for path, why in report.unreadable.items()]
    for model in report.models:
        lines += _model_lines(model, applied=report.applied)
    lines.append(_total(report))
    if next_command:
        lines.append(f"next: {next_command}")
    return [printable(line) for line in lines]


def _model_lines(model: ModelAdoption, *, applied: bool) -> Iterator[str]:
    name = f"{model.key} ({model.source} {model.revision[:12]})"
    if model.cached:
        yield f"{name}: in the cache already"
        return
    if model.detail:
        yield f"{name}: {model.reason}: {model.detail}"
        return
    done = "adopted" if applied else "can be adopted"
    size = human_bytes(sum(file.bytes for file in model.adopted))
    yield (
        f"{name}: {count_of(len(model.adopted), 'file')} {done}, {size}, compared with the "
        f"{model.compared_with}; {len(model.missing)} missing"
    )
    for file in model.adopted[:_MAX_LISTED]:
        yield f"  {file.method}: {file.name}, {human_bytes(file.bytes)}, {file.verified}, from {file.found}"
    if len(model.adopted) > _MAX_LISTED:
        yield f"  and {len(model.adopted) - _MAX_LISTED} more (--format json lists all)"
    for missing in model.missing[:_MAX_LISTED]:
        of_size = f", {human_bytes(missing.bytes)}" if missing.bytes is not None else ""
        yield f"  missing: {missing.name}{of_size}{': ' if missing.detail else ''}{missing.detail}"


def _total(report: AdoptReport) -> str:
    parts = [f"{human_bytes(count)} {_PAST[method] if report.applied else _FUTURE[method]}"
             for method in Method if (count := report.bytes.get(method, 0))]  # fmt: skip
    parts = parts or ["nothing to adopt"]
    parts.append(f"{human_bytes(report.bytes_missing)} to fetch")
    state = f"generation {report.generation[:12]}{' is published' if report.published else ''}"
    return f"{report.reason}: {state}: {', '.join(parts)}"
