"""Parts of texts by positions in the three units, in linear time."""

import pytest

from qda_worker.client.tables.layout import Cutter, layout_of


class CountingText(str):
    """A text that counts how often it is encoded."""

    __slots__ = ("encodings",)
    encodings: int

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self.encodings += 1
        return super().encode(encoding, errors)


@pytest.mark.parametrize(
    ("unit", "start", "end"), [("code-points", 2, 7), ("utf-16", 3, 8), ("utf-8", 5, 12), (None, 2, 7)]
)
def test_a_part_is_cut_out_by_positions_in_each_unit(unit: str | None, start: int, end: int) -> None:
    assert Cutter("😀 Grüße \ud83d", unit).cut(start, end) == "Grüße"


@pytest.mark.parametrize("command", ["syntax", "sentiment"])
@pytest.mark.parametrize("unit", ["utf-8", "utf-16"])
def test_a_text_is_encoded_once_for_all_its_sentences(command: str, unit: str) -> None:
    text = CountingText("Ja. " * 50)
    text.encodings = 0
    places = range(0, 200, 4)
    tokens = [{"text": "Ja.", "start": each, "end": each + 3, "space_after": True} for each in places]
    sentences = [
        {"start": each, "end": each + 3, "first_token": number, "token_count": 1}
        for number, each in enumerate(places)
    ]
    record = {"id": "a", "text": text, "offsets": unit, "tokens": tokens, "sentences": sentences}
    layout = layout_of({"command": command})
    place = [column.name for column in layout.columns].index("text")
    rows = [row for row in layout.rows(record) if row[place] is not text]
    assert [row[place] for row in rows] == ["Ja."] * 50
    assert text.encodings == 1
