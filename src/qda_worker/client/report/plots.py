"""The small plots of a report, as inline SVG without scripts or styles of their own (the page's style sheet has them).

Colour is never the only sign: positive goes up and negative down, bars have numbers, and marks have shapes.
"""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Final

from qda_worker.client.report.projection import project
from qda_worker.client.report.statements import Report, Statement
from qda_worker.client.report.wording import Wording

_SENTIMENTS: Final = ("positive", "neutral", "negative")

# Parts of the course at most, and entities that are listed.
_COURSE_PARTS: Final = 48
_ENTITIES: Final = 12
_MAP_MARGIN: Final = 12


def course_plot(statements: Sequence[Statement], words: Wording) -> str:
    """Return the sentiment over the course of the statements; empty without any sentiment."""
    rated = [each for each in statements if each.sentiment is not None]
    if len(rated) < 2:
        return ""
    size = -(-len(rated) // _COURSE_PARTS)
    parts = [rated[start : start + size] for start in range(0, len(rated), size)]
    width, height = 480, 150
    middle, reach = height / 2, height / 2 - 14
    step = width / len(parts)
    bars = []
    for number, part in enumerate(parts):
        positive = sum(each.positive for each in part) / len(part)
        negative = sum(each.negative for each in part) / len(part)
        left, bar_width = number * step + step * 0.12, step * 0.76
        up, down = positive * reach, negative * reach
        bars.append(
            f'<rect class="bar-positive" x="{left:.1f}" y="{middle - up:.1f}" width="{bar_width:.1f}" '
            f'height="{up:.1f}"/><rect class="bar-negative" x="{left:.1f}" y="{middle:.1f}" '
            f'width="{bar_width:.1f}" height="{down:.1f}"/>'
        )
    first, last = words.course_axis
    labels = (
        f'<text x="0" y="10">{escape(words.sentiments["positive"])}</text>'
        f'<text x="0" y="{height - 3}">{escape(words.sentiments["negative"])}</text>'
        f'<text x="{width}" y="{height - 3}" text-anchor="end">{escape(first)} → {escape(last)}</text>'
    )
    axis = f'<line class="axis" x1="0" x2="{width}" y1="{middle}" y2="{middle}"/>'
    svg = _svg(width, height, words.course, "".join(bars) + axis + labels)
    return _figure(words.course, svg, words.course_note.format(size=number_text(size, words)))


def speaker_plot(report: Report, words: Wording) -> str:
    """Return a table with a bar for each speaker; for each source if no speaker is known."""
    by_speaker = bool(report.speakers)
    sources = report.source_names
    groups: dict[str, Counter[str]] = {}
    for each in report.statements:
        if each.sentiment is not None:
            group = (each.segment.speaker or "–") if by_speaker else sources[each.segment.source]
            groups.setdefault(group, Counter())[each.sentiment] += 1
    if not groups:
        return ""
    rows = []
    for group, counts in sorted(groups.items(), key=lambda item: -item[1].total())[:_ENTITIES]:
        total = counts.total()
        position, bars = 0.0, ""
        for name in _SENTIMENTS:
            share = counts[name] / total * 100
            bars += f'<rect class="bar-{name}" x="{position:.2f}" y="0" width="{share:.2f}" height="10"/>'
            position += share
        numbers = "".join(f"<td>{number_text(counts[name], words)}</td>" for name in _SENTIMENTS)
        bar = f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{bars}</svg>'
        rows.append(f'<tr><th scope="row">{escape(group)}</th><td class="bar">{bar}</td>{numbers}</tr>')
    names = "".join(
        f'<th scope="col"><span class="key key-{name}" aria-hidden="true"></span>'
        f"{escape(words.sentiments[name])}</th>"
        for name in _SENTIMENTS
    )
    head = (
        f'<thead><tr><th scope="col">{escape(words.speaker if by_speaker else words.source)}</th>'
        f"<td></td>{names}</tr></thead>"
    )
    table = f'<table class="bars">{head}<tbody>{"".join(rows)}</tbody></table>'
    return _figure(words.by_speaker, table, "")


def entity_plot(statements: Sequence[Statement], words: Wording) -> str:
    """Return a table of the most frequent entities; empty without any."""
    counts = Counter(
        (" ".join(entity.text.split()), entity.label) for each in statements for entity in each.entities
    )
    if not counts:
        return ""
    frequent = counts.most_common(_ENTITIES)
    largest = frequent[0][1]
    rows = []
    for (text, label), count in frequent:
        bar = (
            '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="bar-entity" x="0" y="0" width="{count / largest * 100:.1f}" height="10"/></svg>'
        )
        rows.append(
            f'<tr><th scope="row">{escape(text[:60])}</th><td class="kind">{escape(entity_name(label, words))}</td>'
            f'<td class="bar">{bar}</td><td>{number_text(count, words)}</td></tr>'
        )
    table = f'<table class="bars"><tbody>{"".join(rows)}</tbody></table>'
    return _figure(words.frequent, table, words.frequent_note)


def map_plot(statements: Sequence[Statement], words: Wording) -> str:
    """Return the statements as marks on a plane, whose script opens a statement on a click; empty without vectors."""
    placed = [(number, each) for number, each in enumerate(statements, start=1) if each.vector is not None]
    if len(placed) < 3:
        return ""
    width, height = 480, 320
    points = project([list(map(float, each.vector)) for _, each in placed if each.vector is not None])
    marks = []
    for (number, each), (across, up) in zip(placed, points, strict=True):
        x = width / 2 + across * (width / 2 - _MAP_MARGIN)
        y = height / 2 - up * (height / 2 - _MAP_MARGIN)
        shape = each.sentiment or "neutral"
        text = f"{number}. {excerpt(each.segment.text)}"
        marks.append(
            f'<use href="#mark-{shape}" class="mark-{shape}" x="{x:.1f}" y="{y:.1f}" data-n="{number}">'
            f"<title>{escape(text)}</title></use>"
        )
    legend = "".join(
        f'<span><svg class="sign" viewBox="-6 -6 12 12" aria-hidden="true"><use href="#mark-{name}" '
        f'class="mark-{name}"/></svg>{escape(words.sentiments[name])}</span>'
        for name in _SENTIMENTS
    )
    shapes = (
        '<defs><circle id="mark-positive" r="4"/><rect id="mark-negative" x="-3.4" y="-3.4" width="6.8" height="6.8"/>'
        '<path id="mark-neutral" d="M0-4.6 4 3.2-4 3.2z"/></defs>'
    )
    svg = _svg(width, height, words.map, shapes + "".join(marks), "map")
    return _figure(words.map, f'{svg}<p class="legend">{legend}</p>', words.map_note)


def number_text(number: int, words: Wording) -> str:
    """Return a number with the group separator of the language."""
    return f"{number:,}".replace(",", words.group)


def entity_name(label: str, words: Wording) -> str:
    """Return the word for a label of an entity; the label itself if there is none."""
    return words.entities.get(label, label)


def excerpt(text: str, length: int = 90) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length and len(text) <= 4 * length else line[: length - 1].rstrip() + "…"


def _svg(width: int, height: int, title: str, content: str, name: str = "plot") -> str:
    return f'<svg class="{name}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{content}</svg>'


def _figure(title: str, content: str, note: str) -> str:
    caption = f"<p>{escape(note)}</p>" if note else ""
    return f"<figure><figcaption><h3>{escape(title)}</h3>{caption}</figcaption>{content}</figure>"
