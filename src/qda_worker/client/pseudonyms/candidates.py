"""Collect the forms of a corpus, with how often and where they are, and propose their placeholders. No I/O.

Two passes: the first one takes what models and rules find in each text, the second one counts the forms in the files
as they will be replaced.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qda_worker.client.pseudonyms.forms import FormMatcher, Markup, Occurrence, clean_form, has_word
from qda_worker.client.pseudonyms.grouping import derived_forms, group_forms, without_title
from qda_worker.client.pseudonyms.kinds import PLACEHOLDER, Kind, Language, Numbering, kind_of_placeholder
from qda_worker.client.pseudonyms.rules import Find, find_by_rules

# Characters before and behind a form in the context that the review list shows.
_CONTEXT: Final = 50

# Labels of speakers that identify no person.
_ROLE: Final = re.compile(
    r"(?i:interviewer(?:in)?|interviewte[rn]?|interviewee|befragte[rn]?|moderator(?:in)?|sprecher(?:in)?|teilnehmer(?:in)?"
    r"|proband(?:in)?|person|frage|antwort|speaker|participant|respondent|unbekannt|unknown|alle|all)[ _-]?[A-Z]?\d*"
    r"|[A-ZÄÖÜ]{1,3}[ _-]?\d*|[A-Z][a-z]?\d+|\W*|\d+"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A form that may be replaced.

    Attributes:
        form: how it is written.
        kind: what it is.
        placeholder: what is proposed to be written instead.
        replace: whether that is proposed.
        count: how often it is in the files.
        recognized: how often a model or a rule has found it; 0 for forms that were derived from others.
        found_by: `model`, `rule`, `speaker`, `known` (from a key) or `derived`.
        context: the first place, with the form between `»` and `«`.
    """

    form: str
    kind: Kind
    placeholder: str
    replace: bool
    count: int
    recognized: int
    found_by: str
    context: str


class CandidateFinder:
    """Collects what is found in texts."""

    def __init__(self) -> None:
        """Begin without a form."""
        self._found: dict[str, Counter[Kind]] = {}
        self._found_by: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self.placeholders: set[str] = set()

    def add_known(self, placeholders: Mapping[str, Sequence[str]]) -> None:
        """Take the forms of placeholders that a part of the corpus has already; they keep them."""
        for placeholder, forms in placeholders.items():
            self.placeholders.add(placeholder)
            self._known.update(dict.fromkeys(forms, placeholder))

    def add_text(self, text: str, entities: Iterable[Find]) -> None:
        """Take the entities of a text that a model has found, unless a rule finds more around them."""
        exact = _Spans(find_by_rules(text))
        for each in entities:
            if not exact.overlap(each):
                self._add(text[each.start : each.end], each.kind, "model")

    def add_content(self, text: str) -> None:
        """Take what rules find in a part of a file."""
        self.placeholders.update(PLACEHOLDER.findall(text))
        for each in find_by_rules(text):
            self._add(text[each.start : each.end], each.kind, "rule")

    def add_speaker(self, label: str) -> None:
        """Take the label of a speaker, unless it is a role or an abbreviation."""
        if not _ROLE.fullmatch(label.strip()) and not PLACEHOLDER.fullmatch(label.strip()):
            self._add(label, Kind.PERSON, "speaker")

    def forms(self) -> dict[str, Kind]:
        """Return the forms and those derived from them; a form that is found as several kinds has the most frequent."""
        found = {form: kinds.most_common(1)[0][0] for form, kinds in self._found.items()}
        found = {form: kind_of_placeholder(placeholder) for form, placeholder in self._known.items()} | found
        derived: dict[str, Kind] = {}
        for form, kind in found.items():
            for each in derived_forms(kind, form):
                if each not in found:
                    derived.setdefault(each, kind)
        return {**found, **derived}

    def propose(self, counter: "FormCounter", language: Language) -> list[Candidate]:
        """Return the forms that the files have, with placeholders, in the order of their first places."""
        kinds = self.forms()
        present = {form: kinds[form] for form in counter.counts if form in kinds}
        numbering = Numbering(language, self.placeholders)
        candidates: list[Candidate] = []
        # Known forms are grouped also if the files do not have them: theirs is the placeholder of "Müllers".
        absent = {form: kinds[form] for form in self._known if form not in present}
        for group in group_forms({**present, **absent}):
            if absent.keys() >= set(group.forms):
                continue
            earlier = [self._known[form] for form in group.forms if form in self._known]
            placeholder = earlier[0] if earlier else numbering.next(group.kind)
            for form in (each for each in group.forms if each in present):
                recognized = sum(self._found.get(form, Counter()).values())
                candidates.append(
                    Candidate(
                        form=form,
                        kind=group.kind,
                        placeholder=self._known.get(form, placeholder),
                        replace=form in self._known or _is_likely(form),
                        count=counter.counts[form],
                        recognized=recognized,
                        found_by="known" if form in self._known else self._found_by.get(form, "derived"),
                        context=counter.contexts[form],
                    )
                )
        return candidates

    def not_placed(self, counter: "FormCounter") -> list[str]:
        """Return the forms that were found, but have no place in the files: these would not be replaced.

        A form that is only within longer ones, as "Anna" in "Anna Müller", is replaced with them.
        """
        absent = [form for form in self._found if form not in counter.counts]
        if not absent:
            return []
        matcher = FormMatcher(absent)
        within = {found.form for form in counter.counts for found in matcher.find(form)}
        return [form for form in absent if form not in within]

    def _add(self, text: str, kind: Kind, found_by: str) -> None:
        form = text.strip() if found_by == "rule" else clean_form(text)
        form = without_title(form) if kind is Kind.PERSON else form
        if has_word(form) and not PLACEHOLDER.search(text):
            self._found.setdefault(form, Counter())[kind] += 1
            self._found_by.setdefault(form, found_by)


class _Spans:
    """Parts of a text, in order and apart from each other."""

    def __init__(self, spans: Iterable[Find | Occurrence]) -> None:
        pairs = [(each.start, each.end) for each in spans]
        self._starts = [start for start, _ in pairs]
        self._ends = [end for _, end in pairs]

    def overlap(self, find: Find) -> bool:
        """Return whether a find has characters of one of the parts."""
        first = bisect_right(self._ends, find.start)
        return first < len(self._starts) and self._starts[first] < find.end


class FormCounter:
    """Counts forms in the files, and keeps the context of the first place of each."""

    def __init__(self, forms: Iterable[str]) -> None:
        """Begin at zero."""
        known = list(forms)
        self._matchers = {markup: FormMatcher(known, markup) for markup in Markup}
        self.counts: dict[str, int] = {}
        self.contexts: dict[str, str] = {}

    def add(self, text: str, markup: Markup) -> None:
        """Count the forms in a part of a file."""
        for each in self._matchers[markup].find(text):
            self.counts[each.form] = self.counts.get(each.form, 0) + 1
            if each.form not in self.contexts:
                self.contexts[each.form] = _context(text, each.start, each.end)


def unlisted(text: str, listed: FormMatcher) -> Iterator[str]:
    """Yield what rules find in a text and no listed form covers."""
    covered = _Spans(listed.find(text))
    for find in find_by_rules(text):
        if not covered.overlap(find):
            yield text[find.start : find.end]


def _context(text: str, start: int, end: int) -> str:
    before, after = text[max(0, start - _CONTEXT) : start], text[end : end + _CONTEXT]
    line = f"{before}»{text[start:end]}«{after}"
    return re.sub(r"[\s\x00-\x1f]+", " ", line).strip()


def _is_likely(form: str) -> bool:
    """Return whether a form is proposed to be replaced: it is no single letter, and not all in lower case."""
    return len(form) > 1 and (form != form.lower() or any(char.isdigit() or char in "@/" for char in form))
