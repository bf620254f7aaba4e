"""The commands of `qda-client`. Each calls the sync client, writes the result, and returns the exit code.

Those that analyze texts one by one are in `text_commands`; `paraphrases` reads all texts first.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final

from model_cache.cli.options import duration
from model_cache.errors import UsageError
from model_cache.explanations import with_help
from model_cache.json_values import dump_json_line, to_json_line, to_json_text
from model_cache.reasons import Reason
from qda_worker.client.channel import Settings, Tls
from qda_worker.client.cli import render
from qda_worker.client.cli.connection import Connection, Format
from qda_worker.client.cli.options import DEFAULT_THRESHOLD
from qda_worker.client.cli.pseudonymize_command import run_pseudonymize
from qda_worker.client.cli.report_command import run_report
from qda_worker.client.cli.signals import close_on_signal, hold_signals
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.cli.text_commands import run_text_command
from qda_worker.client.cli.text_input import input_files, read_segments
from qda_worker.client.cli.writer import SOME_FAILED
from qda_worker.client.enums import Health, LongTexts
from qda_worker.client.errors import NotReady
from qda_worker.client.results import Paraphrases
from qda_worker.client.sync_client import Client
from qda_worker.client.tables.csv_table import CsvStyle, header_lines, row_lines
from qda_worker.client.tables.layout import layout_of
from qda_worker.client.texts import Text

# Formats of each command that does not analyze texts one by one.
_FORMATS: Final = {
    "paraphrases": (Format.TABLE, Format.JSON, Format.JSONL, Format.CSV),
    **dict.fromkeys(("models", "cache", "health"), (Format.TABLE, Format.JSON, Format.JSONL)),
}


def run_command(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> int:
    """Run the command of the arguments and return its exit code.

    Raises:
        UsageError: when an argument or the input is wrong.
        ClientError: when the call fails.
    """
    allowed = _FORMATS.get(arguments.command, tuple(Format))
    if connection.format not in allowed:
        raise UsageError(
            f"{arguments.command} is not written as {connection.format}", f"give one of: {', '.join(allowed)}"
        )
    with terminal.log_messages(quiet=arguments.quiet), Client(_settings(connection)) as client:
        return _COMMANDS[arguments.command](client, arguments, connection.format, terminal)


def _settings(connection: Connection) -> Settings:
    tls = Tls(connection.tls_ca, connection.tls_certificate, connection.tls_key, connection.tls_server_name)
    return Settings(
        target=connection.target,
        tls=tls if connection.tls else None,
        caller=connection.caller,
        token=connection.token,
        token_file=connection.token_file,
        plaintext_token=connection.plaintext_token,
        timeout=connection.timeout,
    )


# --- one function for each command ------------------------------------------------------------------------------------


def _paraphrases(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    texts = _read_list(arguments, terminal)
    others = _read_list(arguments, terminal, arguments.others) if arguments.others else None
    threshold = arguments.threshold
    if threshold is None and arguments.best is None:
        threshold = DEFAULT_THRESHOLD
    with close_on_signal(client.close):
        result = client.find_paraphrases(
            texts,
            others,
            threshold=threshold,
            best=arguments.best,
            model=arguments.model,
            long_texts=LongTexts(arguments.long_texts),
            prompt_name=arguments.prompt,
        )
    _write_paraphrases(result, texts, texts if others is None else others, form, terminal)
    if result.cut_texts:
        # Of a search, this number is all that is known: there is no usage of single texts.
        terminal.report(
            f"texts that are longer than the model reads: {result.cut_texts:,}; only their beginnings were compared "
            "(--segment sentence makes shorter texts, --long-texts window reads all of each)"
        )
    return SOME_FAILED if result.problems else 0


def _models(client: Client, _: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    with close_on_signal(client.close):
        models = client.models()
    if form is Format.JSONL:
        for model in models.models:
            terminal.write(dump_json_line(with_help(model)))
    else:
        terminal.write(
            render.models_table(models) if form is Format.TABLE else to_json_text(with_help(models))
        )
    return 0


def _cache(client: Client, _: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    """Return the exit code that cache-check would have."""
    with close_on_signal(client.close):
        status = client.cache_status()
    if form is Format.JSONL:
        terminal.write(dump_json_line(with_help(status)))
    else:
        terminal.write(
            render.cache_table(status) if form is Format.TABLE else to_json_text(with_help(status))
        )
    return Reason(status.reason).exit_code if status.reason in set(Reason) else NotReady.exit_code


def _health(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    wait = None if arguments.wait is None else _parse_wait(arguments.wait)
    with close_on_signal(client.close):
        if wait is not None:
            client.wait_ready(wait, service=arguments.service)
        health = client.health(arguments.service)
    document = {"service": arguments.service, "health": health}
    terminal.write(str(health) if form is Format.TABLE else to_json_line(document))
    return 0 if health is Health.SERVING else NotReady.exit_code


_COMMANDS: Final[dict[str, Callable[[Client, argparse.Namespace, Format, Terminal], int]]] = {
    "sentiment": run_text_command,
    "entities": run_text_command,
    "syntax": run_text_command,
    "embed": run_text_command,
    "paraphrases": _paraphrases,
    "analyze": run_text_command,
    "report": run_report,
    "pseudonymize": run_pseudonymize,
    "models": _models,
    "cache": _cache,
    "health": _health,
}


def _read_list(arguments: argparse.Namespace, terminal: Terminal, file: str | None = None) -> list[Text]:
    """Return all texts of `file`, or of the command's first file; at least one."""
    files = [file] if file else input_files(arguments)
    return [each.to_text() for each in read_segments(files, arguments, terminal)]


def _parse_wait(text: str) -> float:
    """Return the seconds of `--wait`."""
    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(f'--wait: found "{text}"', f"give {error}") from error


@hold_signals()
def _write_paraphrases(
    result: Paraphrases, texts: Sequence[Text], others: Sequence[Text], form: Format, terminal: Terminal
) -> None:
    if form is Format.TABLE:
        rows = list(render.paraphrase_rows(result, texts, others))
        terminal.write(render.format_table(render.PARAPHRASE_COLUMNS, rows))
        terminal.write(f"\n{len(result.pairs):,} pairs. {render.provenance_line([result.provenance])}")
        return
    pairs: list[dict[str, Any]] = [
        {
            "score": pair.score,
            "first": _text_fields(texts, pair.first),
            "second": _text_fields(others, pair.second),
        }
        for pair in result.pairs
    ]
    if form is Format.CSV:
        layout, style = layout_of({"command": "paraphrases"}), CsvStyle()
        lines = row_lines((row for pair in pairs for row in layout.rows(pair)), style)
        terminal.write((header_lines(layout, style) + lines).removesuffix("\n"))
    elif form is Format.JSONL:
        for line in [*pairs, *(with_help(problem) for problem in result.problems)]:
            terminal.write(to_json_line(line))
    else:
        document = {
            "pairs": pairs,
            "problems": with_help(result.problems),
            "encoded_texts": result.encoded_texts,
            "cut_texts": result.cut_texts,
            "windowed_texts": result.windowed_texts,
            "provenance": result.provenance,
            "timings": result.timings,
        }
        terminal.write(to_json_text(document))


def _text_fields(texts: Sequence[Text], index: int) -> dict[str, object]:
    return {"index": index, "id": texts[index].id, "text": texts[index].content}
