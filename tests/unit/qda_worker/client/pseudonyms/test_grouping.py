"""Which forms get the same placeholder."""

import unicodedata

import pytest

from qda_worker.client.pseudonyms.grouping import derived_forms, group_forms, without_title
from qda_worker.client.pseudonyms.kinds import Kind
from tests.support.call_count import count_calls


def groups(*forms: str, kind: Kind = Kind.PERSON) -> list[tuple[str, ...]]:
    return [group.forms for group in group_forms(dict.fromkeys(forms, kind))]


def test_genitives_capitals_and_parts_of_one_name_belong_together() -> None:
    forms = (
        "Anna Müller",
        "Müllers",
        "ANNA",
        "Anna Müllers",
        "Müller’s",
        "Annas",
        unicodedata.normalize("NFD", "Müller"),
    )
    assert groups(*forms) == [forms]


def test_a_name_that_several_people_have_is_not_guessed() -> None:
    assert groups("Anna Müller", "Peter Müller", "Müller", "Peter") == [
        ("Anna Müller",),
        ("Peter Müller", "Peter"),
        ("Müller",),
    ]


def test_a_longer_form_of_a_name_is_the_same_person() -> None:
    assert groups("Anna Müller", "Anna Maria Müller", "Maria", "Müller") == [
        ("Anna Müller", "Anna Maria Müller", "Maria", "Müller")
    ]


def test_an_s_belongs_to_a_name_unless_the_name_without_it_is_known() -> None:
    assert groups("Hans", "Hans'", "Jens") == [("Hans", "Hans'"), ("Jens",)]
    assert groups("Berlins", "Paris", "Berlin", kind=Kind.PLACE) == [("Berlins", "Berlin"), ("Paris",)]


def test_parts_of_places_and_organizations_are_not_joined() -> None:
    assert len(groups("Universität Köln", "Köln", kind=Kind.ORGANIZATION)) == 2


def test_notations_of_one_number_belong_together() -> None:
    forms = ("0221 1234567", "+49 221 1234567", "0049 (0)221/1234567", "+49 (0)221 1234567")
    assert groups(*forms, kind=Kind.PHONE) == [forms]
    assert len(groups("DE89 3704", "DE893704", kind=Kind.IBAN)) == 1


def test_one_word_of_two_kinds_has_two_placeholders() -> None:
    found = group_forms({"Essen": Kind.PLACE, "Anna Essen": Kind.PERSON})
    assert [group.kind for group in found] == [Kind.PLACE, Kind.PERSON]


@pytest.mark.parametrize(
    ("form", "name"),
    [("Frau Müller", "Müller"), ("Herrn Prof. Dr. Max Weber", "Max Weber"), ("Frau", ""), ("Drews", "Drews")],
)
def test_titles_stay_in_the_text(form: str, name: str) -> None:
    assert without_title(form) == name


def test_derived_forms_are_those_that_a_model_misses() -> None:
    derived = set(derived_forms(Kind.PERSON, "Anna von Müller"))
    assert {"Müller", "Müllers", "Anna", "ANNA VON MÜLLER", "Anna von Müllers"} <= derived
    assert "von" not in derived
    assert list(derived_forms(Kind.EMAIL, "a@b.de")) == []


def test_the_work_grows_with_the_number_of_names() -> None:
    forms = {f"Anna{at} Müller{at}": Kind.PERSON for at in range(300)}
    assert count_calls(lambda: group_forms(forms)) < 100 * len(forms)
