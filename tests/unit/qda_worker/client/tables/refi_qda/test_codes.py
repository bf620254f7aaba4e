"""Names, colours and GUIDs of codes."""

from qda_worker.client.tables.refi_qda.codes import Code, CodeKey, Group, code_book


def flat(codes: tuple[Code, ...]) -> list[Code]:
    return [each for code in codes for each in (code, *flat(code.children))]


def test_names_are_unique_because_programs_merge_equal_ones() -> None:
    keys = [
        CodeKey(Group.ENTITIES, "PER"),
        CodeKey(Group.SPEAKERS, "PER"),
        CodeKey(Group.SPEAKERS, "per"),
        CodeKey(Group.SPEAKERS, "sentiment"),
        CodeKey(Group.SENTIMENT, "positive"),
    ]
    names = [code.name.casefold() for code in flat(code_book(keys))]
    assert len(set(names)) == len(names) == 8


def test_a_code_has_the_same_guid_in_each_project() -> None:
    key = CodeKey(Group.SENTIMENT, "negative")
    alone = code_book([key])
    among = code_book([CodeKey(Group.SPEAKERS, "B1"), CodeKey(Group.SENTIMENT, "positive"), key])
    assert {code.guid for code in flat(alone)} < {code.guid for code in flat(among)}


def test_only_codes_that_are_applied_have_colours_and_are_codable() -> None:
    book = code_book([CodeKey(Group.SPEAKERS, "B1"), CodeKey(Group.ENTITIES, "Neu")])
    assert [code.name for code in book] == ["Entities", "Speakers"]
    assert all(not code.colour for code in book)
    assert all(child.colour for code in book for child in code.children)
