"""What is proposed for a corpus."""

from qda_worker.client.pseudonyms.candidates import Candidate, CandidateFinder, FormCounter, unlisted
from qda_worker.client.pseudonyms.forms import FormMatcher, Markup
from qda_worker.client.pseudonyms.kinds import Kind, Language
from qda_worker.client.pseudonyms.rules import Find
from tests.support.call_count import count_calls


def propose(
    text: str, *names: str, kind: Kind = Kind.PERSON, language: Language = Language.GERMAN
) -> dict[str, Candidate]:
    finder = CandidateFinder()
    finder.add_content(text)
    finder.add_text(text, [Find(text.index(name), text.index(name) + len(name), kind) for name in names])
    counter = FormCounter(finder.forms())
    counter.add(text, Markup.NONE)
    return {each.form: each for each in finder.propose(counter, language)}


def test_forms_that_the_model_missed_are_proposed_with_those_it_found() -> None:
    found = propose("Frau Anna Müller war da. Müllers Hund mag Anna. Müllerin.", "Frau Anna Müller")
    assert {form: each.placeholder for form, each in found.items()} == dict.fromkeys(
        ("Anna Müller", "Müllers", "Anna"), "[Person 1]"
    )
    assert found["Müllers"].found_by == "derived"
    assert found["Anna Müller"].context == "Frau »Anna Müller« war da. Müllers Hund mag Anna. Müllerin."
    assert [found["Anna Müller"].count, found["Anna"].count] == [1, 1]


def test_speakers_in_bold_letters_are_proposed() -> None:
    finder = CandidateFinder()
    finder.add_speaker("Anna")
    counter = FormCounter(finder.forms())
    counter.add("__Anna:__ Hallo", Markup.NONE)
    assert [each.form for each in finder.propose(counter, Language.GERMAN)] == ["Anna"]
    assert finder.not_placed(counter) == []


def test_what_is_found_and_has_no_place_in_the_files_is_known() -> None:
    finder = CandidateFinder()
    text = "Anna Müller wohnt in Kölnblick bei Max."
    finder.add_text(text, [Find(0, 4, Kind.PERSON), Find(0, 11, Kind.PERSON), Find(21, 25, Kind.PLACE)])
    finder.add_speaker("Maximilian")
    counter = FormCounter(finder.forms())
    counter.add(text, Markup.NONE)
    assert finder.not_placed(counter) == ["Köln", "Maximilian"]


def test_what_a_rule_finds_is_not_an_entity() -> None:
    found = propose("Mail: anna.mueller@web.de", "anna.mueller")
    assert {form: str(each.kind) for form, each in found.items()} == {"anna.mueller@web.de": "email"}


def test_placeholders_that_the_text_has_are_not_given_again() -> None:
    found = propose("[Person 1] sagt: Anna war mit [Ort 1] da", "Anna")
    assert found["Anna"].placeholder == "[Person 2]"
    assert (
        propose("Paris", "Paris", kind=Kind.PLACE, language=Language.ENGLISH)["Paris"].placeholder
        == "[Place 1]"
    )


def test_forms_of_an_earlier_key_keep_their_placeholders() -> None:
    finder = CandidateFinder()
    finder.add_known({"[Person 3]": ["Anna Müller", "Müller"], "Ehemann": ["Max"]})
    text = "Müllers Sohn Tim kennt Max und Köln."
    finder.add_text(text, [Find(13, 16, Kind.PERSON), Find(31, 35, Kind.PLACE)])
    counter = FormCounter(finder.forms())
    counter.add(text, Markup.NONE)
    found = {
        each.form: (each.placeholder, each.found_by) for each in finder.propose(counter, Language.GERMAN)
    }
    assert found == {
        "Müllers": ("[Person 3]", "derived"),
        "Tim": ("[Person 1]", "model"),
        "Max": ("Ehemann", "known"),
        "Köln": ("[Ort 1]", "model"),
    }


def test_a_form_that_is_found_as_several_kinds_has_one() -> None:
    finder = CandidateFinder()
    for kind in (Kind.PLACE, Kind.PERSON, Kind.PLACE):
        finder.add_text("Essen", [Find(0, 5, kind)])
    assert finder.forms()["Essen"] is Kind.PLACE


def test_labels_of_speakers_are_names_unless_they_are_roles() -> None:
    finder = CandidateFinder()
    for label in (
        "I",
        "B1",
        "Interviewerin",
        "Befragte 2",
        "Person A",
        "IP3",
        "[Person 4]",
        "Sprecher",
        "Anna",
        "Herr Öz",
    ):
        finder.add_speaker(label)
    assert {form for form in finder.forms() if not form.endswith(("s", "'", "’")) and not form.isupper()} == {
        "Anna",
        "Öz",
    }


def test_words_in_lower_case_are_not_replaced_unless_people_say_so() -> None:
    found = propose("mama und Papa", "mama", "Papa")
    assert {form: each.replace for form, each in found.items()} == {"mama": False, "Papa": True}


def test_numbers_that_are_in_no_list_are_told() -> None:
    assert list(unlisted("Tel. 0221 1234567 und 0151 7654321", FormMatcher(["0221 1234567"]))) == [
        "0151 7654321"
    ]


def test_the_work_grows_with_the_number_of_finds() -> None:
    finds = 300
    text = "Köln a@b.de " * finds
    listed = FormMatcher(["Köln"])
    assert count_calls(lambda: list(unlisted(text, listed))) < 100 * finds
    entities = [Find(12 * at, 12 * at + 4, Kind.PLACE) for at in range(finds)]
    assert count_calls(lambda: CandidateFinder().add_text(text, entities)) < 100 * finds


def test_an_entity_within_or_around_a_find_of_a_rule_does_not_count() -> None:
    text = "Köln a@b.de Bonn"
    finder = CandidateFinder()
    spans = [(12, 16), (5, 6), (3, 7), (0, 16), (10, 12), (0, 5)]
    finder.add_text(text, [Find(start, end, Kind.PLACE) for start, end in spans])
    assert {form for form in finder.forms() if form in text} == {"Bonn", "Köln"}
