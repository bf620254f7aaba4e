"""Files as text, and back byte for byte."""

from pathlib import Path

import pytest

from model_cache.errors import UsageError
from qda_worker.client.pseudonyms.text_file import read_text_file
from qda_worker.client.readers.options import InputFormat


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "Ä\r\nb\rc\nd".encode()),
        ("a.txt", b"\xef\xbb\xbf" + "Ä\r\n".encode()),
        ("a.txt", "\ufeffÄ😀\r\n".encode("utf-16-le")),
        ("a.txt", b""),
        ("a.csv", "id;text\r\n1;Köln\r\n".encode("cp1252")),
        ("a.jsonl", b'{"text": "a\\u00e4\\ud83d\\ude00\\n"}\n'),
        ("a.txt", b"half \xed\xa0\x80 character"),
    ],
)
def test_a_file_is_written_back_as_it_was(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    file = read_text_file(path, "")
    assert file.encode(file.text) == content


def test_strings_of_json_are_decoded_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    written = '{"name": "x", "text": "Hallo\\nM\\u00fcller \\ud83d\\ude00 \\"Max\\"", "n": ["Köln"]}'
    path.write_text(written, encoding="utf-8")
    file = read_text_file(path, "")
    parts = list(file.parts())
    assert [part.text for part in parts] == ["x", 'Hallo\nMüller 😀 "Max"', "Köln"]

    def cut(part: int, word: str) -> str:
        start = parts[part].text.index(word)
        begin, end = parts[part].span(start, start + len(word))
        return file.text[begin:end]

    assert [cut(1, "Müller"), cut(1, "😀"), cut(1, "Max"), cut(2, "Köln")] == [
        "M\\u00fcller",
        "\\ud83d\\ude00",
        "Max",
        "Köln",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"K\xf6ln und noch etwas", "not UTF-8"),
        ("a.txt", b"\x00\x01\x02\x03" * 50, "not a text file"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "an image"),
    ],
)
def test_what_cannot_be_replaced_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_text_file(path, "")
    with pytest.raises(UsageError, match="cannot be read"):
        read_text_file(tmp_path / "absent.txt", "")


def test_a_transcript_of_noscribe_keeps_its_turns_and_speakers(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(
        '<html><head><meta name="qrichtext" content="1" /></head><body>'
        '<p><a name="ts_0_1000_S00">S00: Wo wohnst du?</a></p>'
        '<p><a name="ts_1000_2000_S01">Anna Müller: [00:00:01] In Köln.</a></p>'
        '<p><a name="ts_2000_3000_">Ohne Namen.</a></p></body></html>',
        encoding="utf-8",
    )
    file = read_text_file(path, "")
    assert (file.text, file.is_extracted) == ("S00: Wo wohnst du?\nAnna Müller: In Köln.\nOhne Namen.", True)


def test_a_transcript_in_json_becomes_a_text_because_its_words_have_parts_of_names(tmp_path: Path) -> None:
    content = (
        '{"text": "Anna Müller", "segments": [{"text": " Wo?", "speaker": "Anna Müller"}, '
        '{"text": " Hier.", "words": [{"word": " Mül"}, {"word": "ler"}]}]}'
    )
    for name, kind in {"a.json": InputFormat.AUTO, "a.txt": InputFormat.JSON}.items():
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        file = read_text_file(path, "", kind)
        assert (file.text, file.is_extracted) == ("Anna Müller: Wo?\nHier.", True)
    (tmp_path / "b.json").write_text('{"segments": [{"text": "a"}, {"text": 5}]}')
    with pytest.raises(UsageError, match="segment 2"):
        read_text_file(tmp_path / "b.json", "")


def test_the_user_may_say_encoding_and_format(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes('"K\xf6ln"'.encode("latin-1"))
    file = read_text_file(path, "cp1252", InputFormat.JSONL)
    assert [part.text for part in file.parts()] == ["Köln"]
