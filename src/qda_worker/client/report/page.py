"""Write a report as one HTML page that works from a file, offline, and is read without scripts.

Everything from outside (texts, speakers, names of files and models) is escaped, and the page's content security policy
allows nothing but its own style sheet and script, by their hashes: it loads nothing, sends nothing, and runs nothing
that a text might contain. The files beside this module are the page (`string.Template`), its style and its script.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

from qda_worker.client.report import plots
from qda_worker.client.report.plots import entity_name, excerpt, number_text
from qda_worker.client.report.statements import Report, Statement
from qda_worker.client.report.wording import WORDINGS, Language, Wording
from qda_worker.client.results import Entity

_MARKS: Final = {"positive": "+", "negative": "−", "neutral": "○"}

# Characters that HTML cannot contain, and marks that reorder what follows them, beyond the end of their statement.
_REMOVED: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def write_page(report: Report, language: Language, version: str) -> str:
    """Return the page.

    Args:
        report: what it shows.
        language: of the page; the texts have their own.
        version: of this program.
    """
    words = WORDINGS[language]
    style, script = _file("style.css"), _file("filter.js")
    numbers = [(len(report.statements), words.statements)]
    if report.speakers:
        numbers.append((len(report.speakers), words.speakers))
    if len(report.sources) > 1:
        numbers.append((len(report.sources), words.sources))
    figures = (
        plots.course_plot(report.statements, words),
        plots.speaker_plot(report, words),
        plots.entity_plot(report.statements, words),
        plots.map_plot(report.statements, words),
    )
    page = Template(_file("page.html")).substitute(
        language=language,
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        title=escape(report.title),
        skip=escape(words.skip),
        summary=escape(" · ".join(f"{number_text(count, words)} {name}" for count, name in numbers)),
        overview=escape(words.overview),
        figures="".join(figures),
        filter=escape(words.filter),
        controls=_controls(report, words),
        reset=escape(words.reset),
        count_format=escape(words.count, quote=True),
        count=escape(_count(report, words)),
        statements_heading=escape(words.statements_heading),
        statements="".join(_statements(report, words)),
        models_heading=escape(words.models),
        models=_models(report, words),
        created=escape(_created(report, words, version)),
        caution_heading=escape(words.caution_heading),
        cautions="".join(f"<li>{escape(each)}</li>" for each in words.cautions),
    )
    return _REMOVED.sub("\N{REPLACEMENT CHARACTER}", page)


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(content: str) -> str:
    return f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}"


def _count(report: Report, words: Wording) -> str:
    total = number_text(len(report.statements), words)
    return words.count.format(shown=total, total=total)


def _created(report: Report, words: Wording, version: str) -> str:
    date = (
        f"{report.created:%d.%m.%Y, %H:%M}"
        if words.language is Language.DE
        else f"{report.created:%Y-%m-%d %H:%M}"
    )
    threshold = f"{report.threshold:.2f}".replace(".", words.decimal)
    return words.created.format(date=date, version=version, threshold=threshold)


# --- filter -----------------------------------------------------------------------------------------------------------


def _controls(report: Report, words: Wording) -> str:
    """Return the controls; those with a single choice are left out."""
    controls = [
        f'<label for="f-text">{escape(words.search)}</label><input id="f-text" type="search" autocomplete="off">'
    ]
    speakers = [(str(number), name) for number, name in enumerate(report.speakers)]
    sources = [(str(number), report.source_names[source]) for number, source in enumerate(report.sources)]
    found = {each.sentiment for each in report.statements if each.sentiment}
    sentiments = [(name, word) for name, word in words.sentiments.items() if name in found]
    labels = sorted({entity.label for each in report.statements for entity in each.entities})
    for name, label, choices in (
        ("source", words.source, sources),
        ("speaker", words.speaker, speakers),
        ("sentiment", words.sentiment, sentiments),
        ("label", words.label, [(label, entity_name(label, words)) for label in labels]),
    ):
        if len(choices) > 1:
            options = "".join(
                f'<option value="{escape(choice)}">{escape(word)}</option>'
                for choice, word in [("", words.every), *choices]
            )
            controls.append(
                f'<label for="f-{name}">{escape(label)}</label><select id="f-{name}">{options}</select>'
            )
    return "".join(f'<div class="control">{each}</div>' for each in controls)


# --- statements -------------------------------------------------------------------------------------------------------


def _statements(report: Report, words: Wording) -> Iterator[str]:
    """Yield the items of the list; a heading before those of each source, if there are several."""
    speakers = {name: number for number, name in enumerate(report.speakers)}
    sources = {name: number for number, name in enumerate(report.sources)}
    names = report.source_names
    former = None
    yield "<ol>" if len(sources) == 1 else ""
    for number, each in enumerate(report.statements, start=1):
        source = each.segment.source
        if len(sources) > 1 and source != former:
            yield "" if former is None else "</ol></section>"
            yield f'<section class="source"><h3>{escape(names[source])}</h3><ol>'
            former = source
        data = f' data-source="{sources[source]}"' if len(sources) > 1 else ""
        if each.segment.speaker:
            data += f' data-speaker="{speakers[each.segment.speaker]}"'
        if each.entities:
            data += f' data-label="{escape(" ".join(sorted({entity.label for entity in each.entities})))}"'
        tone = each.sentiment or "none"
        yield (
            f'<li id="s{number}" class="{tone}"{data}><div class="who">{_who(each, number)}</div>'
            f'<p class="text" dir="auto">{_marked(each.segment.text, each.entities, words)}</p>'
            f'<div class="facts">{_tone(each, words)}{_links(each, report, words)}</div></li>'
        )
    yield "</ol>" if len(sources) == 1 else "</ol></section>"


def _who(statement: Statement, number: int) -> str:
    parts = []
    if statement.segment.speaker:
        parts.append(f'<span class="speaker">{escape(statement.segment.speaker)}</span>')
    parts.append(f'<a class="n" href="#s{number}">{number}</a>')
    if statement.segment.start is not None:
        parts.append(f"<time>{_clock(statement.segment.start)}</time>")
    return "".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _marked(text: str, entities: Iterable[Entity], words: Wording) -> str:
    """Return a text with its entities marked; those within another one are left out."""
    parts: list[str] = []
    end = 0
    for each in sorted(entities, key=lambda entity: (entity.start, -entity.end)):
        if each.start < end or each.end > len(text) or each.start >= each.end:
            continue
        name = escape(entity_name(each.label, words))
        parts += (
            escape(text[end : each.start]),
            f"<mark>{escape(text[each.start : each.end])}<span>&nbsp;{name}</span></mark>",
        )
        end = each.end
    parts.append(escape(text[end:]))
    return "".join(parts)


def _tone(statement: Statement, words: Wording) -> str:
    if statement.sentiment is None or statement.probability is None:
        note = f"{words.not_analyzed}: {statement.error}" if statement.error else ""
        return f'<span class="tone">{escape(note)}</span>' if note else ""
    name = statement.sentiment
    sign = f'<span aria-hidden="true">{_MARKS[name]}</span>'
    return f'<span class="tone">{sign} {escape(words.sentiments[name])} {_percent(statement.probability, words)}</span>'


def _percent(share: float, words: Wording) -> str:
    space = "&nbsp;" if words.language is Language.DE else ""
    return f"{100 * share:.0f}{space}%"


def _links(statement: Statement, report: Report, words: Wording) -> str:
    if not statement.links:
        return ""
    links = []
    for link in statement.links:
        text = excerpt(report.statements[link.index].segment.text, 50)
        score = f"{link.score:.2f}".replace(".", words.decimal)
        links.append(f'<a href="#s{link.index + 1}">{link.index + 1}&ensp;{escape(text)}</a> ({score})')
    return f'<span class="links">{escape(words.similar)}: ' + " ".join(links) + "</span>"


# --- provenance -------------------------------------------------------------------------------------------------------


def _models(report: Report, words: Wording) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in words.model_columns)
    rows = []
    for used in report.models:
        each = used.provenance
        cells = (each.model, each.source, each.revision, each.precision, used.licence, each.worker_version)
        shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(words.tasks[used.task])}</th>{shown}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
