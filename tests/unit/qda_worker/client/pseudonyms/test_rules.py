"""What the rules find, and what only looks like it."""

import pytest

from qda_worker.client.pseudonyms.rules import find_by_rules, is_iban


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("unter 030/1234567.", "phone", "030/1234567"),
        ("mobil 0151 23456789, abends", "phone", "0151 23456789"),
        ("Tel. +49 (0)30 123456!", "phone", "+49 (0)30 123456"),
        ("0049-30-1234567", "phone", "0049-30-1234567"),
        ("(0221) 98 76 54", "phone", "(0221) 98 76 54"),
        ("an anna.mueller+x@web.de.", "email", "anna.mueller+x@web.de"),
        ("an jörg (at) uni-köln.de", "email", "jörg (at) uni-köln.de"),
        ("IBAN: DE89 3704 0044 0532 0130 00 BIC COBADEFF", "iban", "DE89 3704 0044 0532 0130 00"),
        ("AT611904300234573201", "iban", "AT611904300234573201"),
        ("(siehe www.uni.de/a?b=c).", "url", "www.uni.de/a?b=c"),
        ("HTTPS://example.org/x,", "url", "HTTPS://example.org/x"),
        ("in der Musterstr. 5a wohnt", "address", "Musterstr. 5a"),
        ("Karl-Marx-Allee 3-5, 10178 Berlin", "address", "Karl-Marx-Allee 3-5, 10178 Berlin"),
        ("Berliner Straße 12", "address", "Berliner Straße 12"),
        ("Am Markt 3, 12345 Ort", "address", "Am Markt 3, 12345 Ort"),
        ("_0221 1234567_", "phone", "0221 1234567"),
        ("__+49 221 1234567__", "phone", "+49 221 1234567"),
        ("__a@b.de__", "email", "__a@b.de"),
        ("_www.uni.de_", "url", "www.uni.de"),
        ("_Hauptstraße 5_", "address", "Hauptstraße 5"),
        ("_Am Markt 3b, 12345 Ort_", "address", "Am Markt 3b, 12345 Ort"),
    ],
)
def test_rules_find(text: str, kind: str, found: str) -> None:
    assert [(str(each.kind), text[each.start : each.end]) for each in find_by_rules(text)] == [(kind, found)]


@pytest.mark.parametrize(
    "text",
    [
        "am 01.02.2020 um 10:30 Uhr", "2020-2021", "Preis 0,99 Euro", "#00:01:23-4#", "[00:01:23]", "Az. 123456789",
        "Im Sommer 2020", "den Weg 10 Minuten", "DE89 3704 0044 0532 0130 01", "a@b", "10.000.000", "er@",
        "00:00:01,000 --> 00:00:02,500", "S. 12-14", "5 % von 1.234.567,89",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_left(text: str) -> None:
    assert find_by_rules(text) == []


def test_finds_do_not_overlap_and_the_more_exact_rule_counts() -> None:
    text = "https://x.de/anna@web.de?t=02211234567 DE89370400440532013000 0049 221 1234567"
    assert [(str(each.kind), text[each.start : each.end]) for each in find_by_rules(text)] == [
        ("url", "https://x.de/anna@web.de?t=02211234567"),
        ("iban", "DE89370400440532013000"),
    ]


def test_an_iban_has_a_check_digit_and_the_length_of_its_country() -> None:
    assert is_iban("DE89 3704 0044 0532 0130 00")
    assert is_iban("NL91ABNA0417164300")
    assert not is_iban("DE98 3704 0044 0532 0130 00")
    assert not is_iban("DE8937040044053201300")
    assert not is_iban("Anna")
