"""The words on the page, in German and English."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Language(StrEnum):
    """The language of the page."""

    DE = "de"
    EN = "en"


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one language. Those with braces are formatted; the others stand as they are."""

    language: Language
    decimal: str
    group: str
    statements: str
    speakers: str
    sources: str
    sentiments: dict[str, str]
    entities: dict[str, str]
    tasks: dict[str, str]
    overview: str
    course: str
    course_note: str
    course_axis: tuple[str, str]
    by_speaker: str
    frequent: str
    frequent_note: str
    map: str
    map_note: str
    filter: str
    search: str
    speaker: str
    source: str
    sentiment: str
    label: str
    every: str
    reset: str
    count: str
    statements_heading: str
    similar: str
    not_analyzed: str
    skip: str
    models: str
    model_columns: tuple[str, ...]
    created: str
    caution_heading: str
    cautions: tuple[str, ...]


_DE: Final = Wording(
    language=Language.DE,
    decimal=",",
    group=".",
    statements="Aussagen",
    speakers="Sprechende",
    sources="Quellen",
    sentiments={"positive": "positiv", "negative": "negativ", "neutral": "neutral"},
    entities={
        "PERSON": "Person",
        "LOCATION": "Ort",
        "ORGANIZATION": "Organisation",
        "OTHER": "Sonstiges",
        "DATE": "Datum",
        "TIME": "Zeit",
        "MONEY": "Betrag",
        "QUANTITY": "Menge",
    },
    tasks={
        "sentiment": "Sentiment",
        "entities": "Entitäten",
        "embedding": "Karte",
        "paraphrases": "ähnliche Aussagen",
    },
    overview="Überblick",
    course="Sentiment im Verlauf",
    course_note="Mittlere Wahrscheinlichkeit für „positiv“ (nach oben) und „negativ“ (nach unten), "
    "Aussagen je Balken: {size}.",
    course_axis=("Anfang", "Ende"),
    by_speaker="Sentiment nach Sprechenden",
    frequent="Häufigste Entitäten",
    frequent_note="Zahl der Nennungen, in der Schreibweise des Textes.",
    map="Karte der Aussagen",
    map_note="Je näher zwei Zeichen liegen, desto ähnlicher sind sich die Aussagen; die Achsen haben keine Bedeutung.",
    filter="Aussagen filtern",
    search="Text enthält",
    speaker="Sprechende Person",
    source="Quelle",
    sentiment="Sentiment",
    label="Entität",
    every="alle",
    reset="Zurücksetzen",
    count="{shown} von {total} Aussagen",
    statements_heading="Aussagen",
    similar="Ähnlich",
    not_analyzed="nicht ausgewertet",
    skip="Zu den Aussagen",
    models="Herkunft der Ergebnisse",
    model_columns=("Aufgabe", "Modell", "Quelle", "Commit oder Version", "Zahlenformat", "Lizenz", "Worker"),
    created="Erstellt am {date} (UTC) mit qda-client {version}. Ähnliche Aussagen ab einem Kosinus von {threshold}.",
    caution_heading="Was die Zahlen bedeuten",
    cautions=(
        (
            "Eine Wahrscheinlichkeit ist die Ausgabe des Klassifikators, keine Treffsicherheit. Ironie, Verneinung und "
            "wiedergegebene Rede werden oft falsch eingeordnet."
        ),
        "Entitäten haben keine Wahrscheinlichkeit. Manche werden übersehen oder falsch zugeordnet.",
        "Ähnlichkeit vergleicht Bedeutungen im Mittel: Eine Aussage und ihre Verneinung können sich ähnlich sein.",
    ),
)

_EN: Final = Wording(
    language=Language.EN,
    decimal=".",
    group=",",
    statements="statements",
    speakers="speakers",
    sources="sources",
    sentiments={"positive": "positive", "negative": "negative", "neutral": "neutral"},
    entities={
        "PERSON": "person",
        "LOCATION": "location",
        "ORGANIZATION": "organization",
        "OTHER": "other",
        "DATE": "date",
        "TIME": "time",
        "MONEY": "amount",
        "QUANTITY": "quantity",
    },
    tasks={
        "sentiment": "sentiment",
        "entities": "entities",
        "embedding": "map",
        "paraphrases": "similar statements",
    },
    overview="Overview",
    course="Sentiment over time",
    course_note="Mean probability of “positive” (upwards) and “negative” (downwards), "
    "statements in each bar: {size}.",
    course_axis=("beginning", "end"),
    by_speaker="Sentiment by speaker",
    frequent="Most frequent entities",
    frequent_note="Number of mentions, as they are spelled in the text.",
    map="Map of the statements",
    map_note="The closer two marks are, the more similar the statements; the axes have no meaning.",
    filter="Filter the statements",
    search="Text contains",
    speaker="Speaker",
    source="Source",
    sentiment="Sentiment",
    label="Entity",
    every="all",
    reset="Reset",
    count="{shown} of {total} statements",
    statements_heading="Statements",
    similar="Similar",
    not_analyzed="not analyzed",
    skip="Skip to the statements",
    models="Provenance of the results",
    model_columns=("Task", "Model", "Source", "Commit or version", "Number format", "Licence", "Worker"),
    created="Written on {date} (UTC) by qda-client {version}. Similar statements from a cosine of {threshold}.",
    caution_heading="What the numbers mean",
    cautions=(
        (
            "A probability is the output of the classifier, not the chance that it is right. Irony, negation and "
            "reported speech are often misread."
        ),
        "Entities have no probability. Some are missed, or have the wrong label.",
        "Similarity compares meanings on average: a statement and its negation may be similar.",
    ),
)

WORDINGS: Final = {each.language: each for each in (_DE, _EN)}
