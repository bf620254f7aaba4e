"""`qda-client pseudonymize`: a list to review, its application to a corpus, and the way back.

The first step needs the worker, and reads each file twice: once by segments, which the model answers, and once as it
will be replaced. The other steps need no worker.
"""

import argparse
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from model_cache.file_io import replacement
from qda_worker.client.analysis_tasks import EntityTask
from qda_worker.client.cli.connection import Format
from qda_worker.client.cli.options import PROGRAM
from qda_worker.client.cli.progress_line import ProgressLine
from qda_worker.client.cli.signals import close_on_signal
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.cli.writer import SOME_FAILED
from qda_worker.client.enums import LabelScheme, LongTexts
from qda_worker.client.pseudonyms.apply import Summary, apply_review, restore_corpus, shown
from qda_worker.client.pseudonyms.candidates import Candidate, CandidateFinder, FormCounter
from qda_worker.client.pseudonyms.corpus_files import corpus_files
from qda_worker.client.pseudonyms.key_file import read_key
from qda_worker.client.pseudonyms.kinds import Language, kind_of_label
from qda_worker.client.pseudonyms.review_list import read_review, review_lines
from qda_worker.client.pseudonyms.rules import Find
from qda_worker.client.pseudonyms.text_file import TextFile, read_text_file
from qda_worker.client.readers.corpus import read_corpus
from qda_worker.client.readers.encodings import parse_encoding
from qda_worker.client.readers.options import InputFormat, ReadingOptions
from qda_worker.client.readers.segment import Segment
from qda_worker.client.results import Entity
from qda_worker.client.sync_client import Client
from qda_worker.client.texts import Text

LIMITS: Final = (
    "recognition is not complete: nicknames, rare and foreign names, dialect, misspelt names, names within compounds, "
    "and indirect identifiers (a job, a date, a place that only one person fits) are missed. Read the texts before "
    "you pass them on. With the key they are personal data: keep it apart."
)


def run_pseudonymize(client: Client, arguments: argparse.Namespace, _: Format, terminal: Terminal) -> int:
    """Run the step that the arguments name, and return the exit code.

    Raises:
        UsageError: when an argument or a file is wrong.
        ClientError: when a call fails.
        ModelCacheError: when the disk is full.
    """
    _check_step(arguments)
    if arguments.review:
        return _review(client, arguments, terminal)
    output = Path(arguments.output)
    if arguments.apply:
        review = Path(arguments.apply)
        summary = apply_review(
            corpus_files(arguments.files, terminal.report, review=review),
            read_review(review),
            output,
            Path(arguments.key),
            encoding=_encoding(arguments),
            kind=InputFormat(arguments.input),
        )
        _tell(
            summary, f"{output} has {{}} files with {{}} placeholders; the key is {arguments.key}", terminal
        )
        terminal.report(f"note: {LIMITS}")
        return 0
    summary = restore_corpus(
        corpus_files(arguments.files, terminal.report), read_key(Path(arguments.restore)), output
    )
    _tell(summary, f"{output} has {{}} files with {{}} places restored", terminal)
    return 0


def _check_step(arguments: argparse.Namespace) -> None:
    """Check that the step has the options that it needs, and no other ones.

    Raises:
        UsageError: when it has not.
    """
    if arguments.known and not arguments.review:
        raise UsageError("--known belongs to --review", "leave it out; the list has its placeholders")
    step = "--review" if arguments.review else "--apply" if arguments.apply else "--restore"
    for option, value, steps in (
        ("--output", arguments.output, ("--apply", "--restore")),
        ("--key", arguments.key, ("--apply",)),
    ):
        if value and step not in steps:
            raise UsageError(
                f"{step} takes no {option}", f"leave it out; it belongs to {' and '.join(steps)}"
            )
        if not value and step in steps:
            raise UsageError(f"{step} needs {option}", f"add {option}")


def _encoding(arguments: argparse.Namespace) -> str:
    return parse_encoding(arguments.encoding) if arguments.encoding else ""


def _tell(summary: Summary, message: str, terminal: Terminal) -> None:
    for notice in summary.notices:
        terminal.report(f"note: {notice}")
    terminal.report(message.format(f"{summary.files:,}", f"{summary.replaced:,}"))


def _review(client: Client, arguments: argparse.Namespace, terminal: Terminal) -> int:
    path = Path(arguments.review)
    if path.exists() and not arguments.overwrite:
        raise UsageError(
            f"{path} exists", "give another name, or --overwrite; your decisions in it would be lost"
        )
    if not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: no folder {path.parent}", "give a folder that exists")
    files = corpus_files(arguments.files, terminal.report, review=path)
    encoding, kind = _encoding(arguments), InputFormat(arguments.input)

    def contents() -> Iterator[TextFile]:
        return (read_text_file(each.path, encoding, kind) for each in files)

    finder = CandidateFinder()
    if arguments.known:
        finder.add_known(read_key(Path(arguments.known)).placeholders)
    for file in contents():  # first, because it tells soon which file cannot be replaced
        for part in file.parts():
            finder.add_content(part.text)
    options = ReadingOptions(input=kind, encoding=encoding, column=arguments.column)
    segments = read_corpus([str(each.path) for each in files], options, warn=terminal.report)
    failed = _recognize(client, segments, finder, arguments.model, terminal)
    candidates, not_placed = _count(contents(), finder, Language(arguments.lang))
    with replacement(path, mode=0o600) as stream:
        stream.write(review_lines(candidates).encode(errors="replace"))
    if not_placed:
        terminal.report(
            "note: found, but not as whole words in the files, so not in the list and not replaced: "
            f"{shown(not_placed)}"
        )
    _tell_review(path, candidates, failed, arguments, terminal)
    return SOME_FAILED if failed else 0


def _recognize(
    client: Client, segments: Iterable[Segment], finder: CandidateFinder, model: str, terminal: Terminal
) -> int:
    """Add what the model finds in the segments, and return how many it did not answer."""
    sent: deque[Segment] = deque()  # those that have no result yet; gRPC's thread adds them

    def texts() -> Iterator[Text]:
        for segment in segments:
            sent.append(segment)
            yield segment.to_text()

    progress = ProgressLine(terminal, total=lambda: None)
    task = EntityTask(model, LabelScheme.COMMON)
    failed = 0
    with close_on_signal(client.close):
        for index, result in enumerate(client.analyze(texts(), [task], long_texts=LongTexts.WINDOW)):
            segment = sent.popleft()
            if segment.speaker:
                finder.add_speaker(segment.speaker)
            finder.add_text(segment.text, _finds(result.entities.entities if result.entities else ()))
            failed += not result.ok
            progress.show(index + 1)
    progress.end()
    return failed


def _finds(entities: Iterable[Entity]) -> Iterator[Find]:
    for entity in entities:
        kind = kind_of_label(entity.label)
        if kind is not None:
            yield Find(entity.start, entity.end, kind)


def _count(
    files: Iterable[TextFile], finder: CandidateFinder, language: Language
) -> tuple[list[Candidate], list[str]]:
    """Return the forms that the files have, counted as they will be replaced, and those found that they do not have."""
    counter = FormCounter(finder.forms())
    for file in files:
        for part in file.parts():
            counter.add(part.text, file.markup)
    return finder.propose(counter, language), finder.not_placed(counter)


def _tell_review(
    path: Path,
    candidates: Sequence[Candidate],
    failed: int,
    arguments: argparse.Namespace,
    terminal: Terminal,
) -> None:
    if failed:
        terminal.report(f"note: {failed:,} texts have no answer of the model; only rules looked at them")
    terminal.report(f"note: {LIMITS}")
    if not candidates:
        terminal.report(f"{path}: nothing was found; add rows by hand for what you know")
        return
    kinds = Counter(each.kind for each in candidates)
    counts = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
    files = " ".join(arguments.files)
    terminal.report(
        f"{path} has {len(candidates):,} forms to review ({counts}). Then: {PROGRAM} pseudonymize {files} "
        f"--apply {path} --output FOLDER --key FILE"
    )
