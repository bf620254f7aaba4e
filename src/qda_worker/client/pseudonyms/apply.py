"""Apply a review list to a corpus, and restore a corpus by its key.

Either all files and the key are written, or nothing is left: the key exists from the start, and a failure removes it
with the new files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from qda_worker.client.pseudonyms.candidates import unlisted
from qda_worker.client.pseudonyms.corpus_files import CorpusFile, OutputFolder
from qda_worker.client.pseudonyms.forms import FormMatcher
from qda_worker.client.pseudonyms.key_file import FileKey, Key, NewKey
from qda_worker.client.pseudonyms.replacement import Replacer, restore, restore_placeholders
from qda_worker.client.pseudonyms.review_list import ReviewedForm
from qda_worker.client.pseudonyms.text_file import TextFile, digest, read_text_file
from qda_worker.client.readers import encodings
from qda_worker.client.readers.options import InputFormat

# Finds that a message shows.
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done with a corpus.

    Attributes:
        files: number of files.
        replaced: number of places.
        notices: what people should know, as sentences.
    """

    files: int
    replaced: int
    notices: Sequence[str]


def apply_review(
    files: Sequence[CorpusFile],
    reviewed: Sequence[ReviewedForm],
    output: Path,
    key: Path,
    *,
    encoding: str = "",
    kind: InputFormat = InputFormat.AUTO,
) -> Summary:
    """Write the corpus with placeholders into a new folder, and the key.

    Args:
        files: the corpus.
        reviewed: the forms to replace.
        output: the folder.
        key: the key file.
        encoding: of text files; empty: that of their byte order marks, else UTF-8.
        kind: format of the files; by default as their names say.

    Raises:
        UsageError: when a file, the folder or the key cannot be read or created.
        ModelCacheError: when the disk is full.
        OSError: when a file cannot be written.
    """
    run = _Run(reviewed)
    new_key = NewKey(key, output)
    try:
        folder = OutputFolder(output)
        try:
            keys = [run.write(each, read_text_file(each.path, encoding, kind), folder) for each in files]
            new_key.write(Key(run.forms_of_placeholders(), keys))
        except BaseException:
            folder.discard()
            raise
    except BaseException:
        new_key.discard()
        raise
    return Summary(len(keys), sum(len(each.replaced) for each in keys), run.notices())


class _Run:
    """One run: the replacer, and what is noticed."""

    def __init__(self, reviewed: Sequence[ReviewedForm]) -> None:
        self._reviewed = reviewed
        self._replacer = Replacer({each.form: each.placeholder for each in reviewed})
        self._listed = FormMatcher(each.form for each in reviewed)
        self._placeholders = sorted({each.placeholder for each in reviewed})
        self._names = _UniqueNames()
        self._used: set[str] = set()
        self._unlisted: dict[str, None] = {}
        self._extracted: list[str] = []
        self._renamed = 0
        self._own: dict[str, None] = {}

    def write(self, source: CorpusFile, file: TextFile, folder: OutputFolder) -> FileKey:
        """Write the new text of a file and return what restores it."""
        for part in file.parts():
            self._used.update(each.form for each in self._listed.find(part.text))
            self._unlisted.update(dict.fromkeys(unlisted(part.text, self._listed)))
        self._own.update(dict.fromkeys(each for each in self._placeholders if each in file.text))
        text, replaced = self._replacer.replace(file)
        try:
            content = file.encode(text)
        except UnicodeEncodeError as error:
            raise UsageError(
                f'{source.path} is {file.encoding.upper()}, which has no "{text[error.start]}"',
                "give placeholders of letters that it has, or convert the file to UTF-8",
            ) from error
        name = self._new_name(source, file)
        folder.write(name, content)
        return FileKey(
            name=name,
            original=source.name + (".txt" if file.is_extracted else ""),
            encoding=file.encoding,
            mark=file.mark.hex(),
            sha256=digest(content),
            original_sha256=digest(file.encode(file.text)),
            is_extracted=file.is_extracted,
            replaced=replaced,
        )

    def forms_of_placeholders(self) -> dict[str, list[str]]:
        """Return the forms of each placeholder, the longest first: it is the most complete."""
        forms: dict[str, list[str]] = {}
        for each in self._reviewed:
            forms.setdefault(each.placeholder, []).append(each.form)
        return {name: sorted(its, key=lambda form: (-len(form), form)) for name, its in forms.items()}

    def notices(self) -> list[str]:
        """Return what people should know."""
        found: list[str] = []
        absent = [f'"{each.form}" (row {each.row})' for each in self._reviewed if each.form not in self._used]
        if absent:
            found.append(
                f"not in the files, so not replaced: {shown(absent)}; was the list changed by a program?"
            )
        if self._own:
            found.append(f"in the files before, and now ambiguous for readers: {shown(self._own)}")
        if self._unlisted:
            found.append(
                f"{len(self._unlisted):,} addresses or numbers are not in the list, or not to be replaced, and are "
                f"still in the files: {shown(self._unlisted)}"
            )
        if self._extracted:
            found.append(
                f"documents are written as text files, without their formatting: {shown(self._extracted)}"
            )
        if self._renamed:
            found.append(f"files with a new name, because the old one had a form in it: {self._renamed:,}")
        return found

    def _new_name(self, source: CorpusFile, file: TextFile) -> str:
        name = "/".join(self._replacer.replace_name(part) for part in source.name.split("/"))
        self._renamed += name != source.name
        if file.is_extracted:
            self._extracted.append(source.name)
            name += ".txt"
        return self._names.add(name)


class _UniqueNames:
    """Names of files in a folder, none of them twice, upper and lower case taken for the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def add(self, name: str) -> str:
        """Return a name, with a number if it is taken."""
        unique, number = name, 1
        folder, slash, last = name.rpartition("/")
        stem, dot, ending = last.rpartition(".")
        while unique.casefold() in self._taken:
            number += 1
            numbered = f"{stem} ({number}){dot}{ending}" if dot else f"{last} ({number})"
            unique = folder + slash + numbered
        self._taken.add(unique.casefold())
        return unique


def restore_corpus(files: Sequence[CorpusFile], key: Key, output: Path) -> Summary:
    """Write the originals into a new folder.

    A file that was changed since gets the most complete form for each placeholder; a notice names it.

    Raises:
        UsageError: when a file or the folder cannot be read or created.
        ModelCacheError: when the disk is full.
        OSError: when a file cannot be written.
    """
    main_forms = {placeholder: forms[0] for placeholder, forms in key.placeholders.items() if forms}
    entries = _entries(files, key.files)
    unique = _UniqueNames()
    # A changed file must not take the name of an original.
    originals = {at: unique.add(entry.original) for at, entry in entries.items()}
    folder = OutputFolder(output)
    changed: list[str] = []
    restored = 0
    try:
        for at, each in enumerate(files):
            if at in entries:
                folder.write(originals[at], _restored(_read(each.path), entries[at], each.path))
                restored += len(entries[at].replaced)
            else:
                file = read_text_file(each.path, "")
                text, count = restore_placeholders(file.text, main_forms)
                folder.write(unique.add(each.name), file.encode(text))
                changed.append(each.name)
                restored += count
    except BaseException:
        folder.discard()
        raise
    notices = []
    if changed:
        notices.append(
            "not as they were written, so each placeholder became its most complete form, and endings as in "
            f'"Müllers" are not restored: {shown(changed)}'
        )
    documents = [originals[at] for at, entry in entries.items() if entry.is_extracted]
    if documents:
        notices.append(f"of documents only the text is restored: {shown(documents)}")
    return Summary(len(files), restored, notices)


def _entries(files: Sequence[CorpusFile], keys: Sequence[FileKey]) -> dict[int, FileKey]:
    """Return the entry of the key for each file that is as it was written, by the position of the file.

    Files with the same content have an entry each: the one with the name of the file, else the first that is left.
    """
    left: dict[str, dict[str, FileKey]] = {}
    for key in keys:
        left.setdefault(key.sha256, {})[key.name] = key
    digests = [digest(_read(each.path)) for each in files]
    entries: dict[int, FileKey] = {}
    for at, (file, its) in enumerate(zip(files, digests, strict=True)):
        named = left.get(its, {}).pop(file.name, None)
        if named is not None:
            entries[at] = named
    for at, its in enumerate(digests):
        same = left.get(its)
        if at not in entries and same:
            entries[at] = same.pop(next(iter(same)))
    return entries


def _restored(content: bytes, entry: FileKey, path: Path) -> bytes:
    mark = bytes.fromhex(entry.mark)
    file = TextFile("", entry.encoding, mark)
    errors = "surrogatepass" if entry.encoding.startswith(encodings.UTF8[:4]) else "strict"
    original = file.encode(restore(content[len(mark) :].decode(entry.encoding, errors), entry.replaced))
    if digest(original) != entry.original_sha256:
        raise UsageError(
            f"{path} is not restored to its original: the key was changed", "give the key as it was written"
        )
    return original


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "give a readable file") from error


def shown(items: Iterable[str]) -> str:
    """Return the first items as a list in a message, and how many more there are."""
    listed = list(items)
    more = f" and {len(listed) - _SHOWN:,} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
