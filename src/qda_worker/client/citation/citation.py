"""Citations as text and as BibTeX: each model with its commit, licence and publication, then the program.

Licences are those of the built-in catalog, for models that are in it at that commit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qda_worker.client.citation.publications import PUBLICATIONS, Publication
from qda_worker.client.citation.result_files import Computation

# The licence of a model by its source and revision.
Licences = Mapping[tuple[str, str], str]

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")

_SPECIAL: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Model:
    """A model in one number format."""

    key: str
    source: str
    revision: str
    precision: str

    @property
    def version(self) -> str:
        """As `commit 0123…` or `version 3.8.0`."""
        return f"{'commit' if _COMMIT.fullmatch(self.revision) else 'version'} {self.revision}"

    @property
    def url(self) -> str:
        """Where the model is; empty if it is a package of unknown origin."""
        if "/" in self.source:
            return f"https://huggingface.co/{self.source}/tree/{self.revision}"
        if self.source in PUBLICATIONS:
            return f"https://github.com/explosion/spacy-models/releases/tag/{self.source}-{self.revision}"
        return ""

    @property
    def publisher(self) -> str:
        """The owner of the repository; empty if it is a package of unknown origin."""
        owner, slash, _ = self.source.partition("/")
        return owner if slash else "Explosion" if self.source in PUBLICATIONS else ""


def cite_as_text(computations: Sequence[Computation], licences: Licences) -> str:
    """Return a paragraph for each model, and one for the program."""
    parts = []
    for model in _models(computations):
        licence = licences.get((model.source, model.revision))
        about = [
            model.version,
            f"number format {model.precision}",
            *([f"licence {licence}"] if licence else []),
        ]
        about = [f"published by {model.publisher}", *about] if model.publisher else about
        lines = [f"{model.source} ({model.key}): {', '.join(about)}. {model.url}".rstrip()]
        publication = PUBLICATIONS.get(model.source)
        if publication is not None:
            lines.append(
                f"  {'; '.join(publication.authors)} ({publication.year}). {publication.title}. {publication.venue}. "
                f"{publication.url}"
            )
        parts.append("\n".join(lines))
    options = list(dict.fromkeys(each.options for each in computations if each.options))
    lines = [f"qda-worker, {_versions(computations)} (licence MIT)."]
    lines += [f"  Options: {each}" for each in options]
    return "\n\n".join([*parts, "\n".join(lines)])


def cite_as_bibtex(computations: Sequence[Computation], licences: Licences) -> str:
    """Return an entry for each model and each publication, and one for the program."""
    entries = []
    publications: dict[str, Publication] = {}
    for model in _models(computations):
        licence = licences.get((model.source, model.revision))
        name = model.source.rpartition("/")[2]
        note = [
            model.version,
            f"number format {model.precision}",
            *([f"licence {licence}"] if licence else []),
        ]
        fields = {
            "author": "{" + _escaped(model.publisher) + "}" if model.publisher else "",
            "title": _escaped(model.source),
            "note": _escaped(", ".join(note)),
            "url": model.url,
        }
        entries.append(_entry("misc", f"{_key(name)}_{model.revision[:12]}_{model.precision}", fields))
        publication = PUBLICATIONS.get(model.source)
        if publication is not None:
            publications[publication.key] = publication
    entries += [_publication_entry(each) for each in publications.values()]
    options = "; ".join(dict.fromkeys(each.options for each in computations if each.options))
    fields = {
        "author": "{The qda-worker authors}",
        "title": "qda-worker",
        "version": _escaped(_versions(computations).removeprefix("version ").removeprefix("versions ")),
        "note": _escaped(f"licence MIT{f', options: {options}' if options else ''}"),
    }
    return "\n\n".join([*entries, _entry("software", "qda_worker", fields)])


def _models(computations: Sequence[Computation]) -> list[_Model]:
    return list(
        dict.fromkeys(_Model(each.model, each.source, each.revision, each.precision) for each in computations)
    )


def _versions(computations: Sequence[Computation]) -> str:
    versions = list(dict.fromkeys(each.worker_version for each in computations))
    return f"version{'s' if len(versions) > 1 else ''} {', '.join(versions)}"


def _publication_entry(publication: Publication) -> str:
    place = {"inproceedings": "booktitle", "software": "publisher"}.get(publication.kind, "note")
    fields = {
        "author": _escaped(" and ".join(publication.authors)),
        "title": "{" + _escaped(publication.title) + "}",
        "year": str(publication.year),
        place: _escaped(publication.venue),
        "url": publication.url,
    }
    return _entry(publication.kind, publication.key, fields)


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@{kind}{{{key},\n{lines}\n}}"


def _key(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name)


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(char, char) for char in text)
