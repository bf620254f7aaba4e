"""`cache-warmer publish`: verify prepared forms, and put them into the cache.

`qda-worker prepare` makes a form in a folder, on any machine. The publication itself is `prepared.publication`. This
module makes it from the options and reports how it ended: on stdout, and in a cluster also as an Event.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.commands.command import Invocation
from cache_warmer.commands.reporting import event_recorder
from cache_warmer.disk.probe import write_probe
from cache_warmer.kubernetes.events import EventRecorder
from cache_warmer.lease.select import select_lease
from cache_warmer.prepared.publication import Outcome, PublishedForm, Publisher, find_forms
from cache_warmer.transfer.pool import Stop
from model_cache.cli.options import OutputFormat
from model_cache.cli.parser import OptionParser
from model_cache.cli.program import best_effort
from model_cache.errors import ModelCacheError, UsageError
from model_cache.formatting import count_of, human_bytes, printable
from model_cache.json_values import to_json_text
from model_cache.prepared_failure import FAILURE_SUFFIX, FormFailure, error_of, read_failures
from model_cache.reasons import Reason

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublishReport:
    """The document of `cache-warmer publish --format json`."""

    reason: Reason
    seconds: float
    forms: tuple[PublishedForm, ...]


def add_publish_arguments(parser: OptionParser) -> None:
    """Add the folders and --all to a parser."""
    parser.add_argument(
        "folders", metavar="DIR", nargs="*", help="folder that `qda-worker prepare` wrote; may be repeated"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="publish each form in a folder directly below DIR, if there are any, then fail with the reason of those "
        "that `qda-worker prepare --failure DIR/NAME.failure.json` could not make (default: DIR itself is a form)",
    )


def run_publish(invocation: Invocation, events: EventRecorder | None = None) -> int:
    """Publish forms and return the exit code.

    Args:
        invocation: the arguments, environment and streams.
        events: records Events; None: on the objects that the environment names.

    Raises:
        ModelCacheError: the options are wrong, a form is refused or could not be made, the volume fails, or the lease
            is held or lost.
    """
    settings, start = invocation.settings(), time.monotonic()
    if settings.options.models:
        raise UsageError("a form names its model, so --model has no effect", "leave --model (QDA_MODELS) out")
    folders, failures = _folders(invocation), _failures(invocation)
    events = events or event_recorder(invocation.environ)
    try:
        catalog, lock = settings.load_catalog()
        places = settings.find_places(invocation.environ)
        lease = select_lease(places, settings.wait, invocation.environ, Stop(), _LOG.info)
        forms = Publisher(catalog, lock, places, lease, write_probe).run(folders) if folders else ()
    except ModelCacheError as error:
        if failures:  # the next run may not find them again
            events.record_failure(error_of(failures))
        events.record_failure(error)
        raise
    report = PublishReport(Reason.OK, round(time.monotonic() - start, 3), forms)
    if any(form.outcome is not Outcome.UNCHANGED for form in forms):
        events.record_publication([f"{form.model} ({form.precision})" for form in forms])
    is_json = settings.options.format is OutputFormat.JSON
    if failures:
        missing = error_of(failures)
        events.record_failure(missing)
        for form in forms:
            _LOG.info("%s", _line(form))
        raise missing
    shown = best_effort(invocation.out)  # the exit code states the result, also with a closed stdout
    shown.write(f"{to_json_text(report) if is_json else to_table(forms)}\n")
    shown.flush()
    return Reason.OK.exit_code


def _folders(invocation: Invocation) -> list[Path]:
    names: Sequence[str] = invocation.arguments.folders
    if not names or any(not name or "\x00" in name for name in names):
        raise UsageError("no folder given", "give the DIR that `qda-worker prepare --out DIR` wrote")
    folders = [Path(name) for name in names]
    if invocation.arguments.all:
        return [form for folder in folders for form in find_forms(folder)]
    return folders


def _failures(invocation: Invocation) -> list[FormFailure]:
    """Return why forms are missing, if `qda-worker prepare --failure` has left that in the folders of --all."""
    if not invocation.arguments.all:
        return []
    try:
        return [failure for name in invocation.arguments.folders for failure in read_failures(Path(name))]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"a file *{FAILURE_SUFFIX} cannot be read: {error}", "delete it, or make the form again"
        ) from error


def to_table(forms: Sequence[PublishedForm]) -> str:
    """Return a line for each form, and the result."""
    lines = [_line(form) for form in forms]
    return "\n".join([*lines, f"OK: {count_of(len(forms), 'form')}"])


def _line(form: PublishedForm) -> str:
    words = {
        Outcome.PUBLISHED: "published",
        Outcome.UNCHANGED: "there already",
        Outcome.RENEWED: "there already, and the newest again",
    }
    note = "" if form.asked else "; the catalog does not ask for this precision, so no worker loads it"
    return printable(
        f"{form.model}: {form.precision} ({', '.join(form.variants)}), {form.files} files, "
        f"{human_bytes(form.bytes)}, {words[form.outcome]}: {form.path}{note}"
    )
