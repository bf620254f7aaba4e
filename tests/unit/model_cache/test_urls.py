"""Addresses in messages: whatever is wrong with one, its user information is not shown."""

import argparse
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cache_warmer.options as warmer_options
import model_cache.cli.options as shared_options
import qda_worker.client.cli.options as client_options
import qda_worker.serve_options as worker_options
from cache_warmer.cli import cache_warmer
from model_cache.cli.options import Option
from model_cache.errors import ModelCacheError, UsageError
from model_cache.urls import redacted, shown_value, without_passwords

MODULES: Final = (shared_options, warmer_options, worker_options, client_options)
OPTIONS: Final[list[Option[Any]]] = [
    option for module in MODULES for option in vars(module).values() if isinstance(option, Option)
]
# Parts of a password that can be recognized in a message, and what may stand between them.
PARTS: Final = ("Zebra", "Quokka", "Walrus")
BETWEEN: Final = st.text("/#?@:%&=+~!$*;,.|\\^`{}[]()<>\"' \t\né", min_size=1, max_size=3)
SCHEMES: Final = st.sampled_from(
    ["", "http://", "https://", "htp://", "http:/", "http:", "//", "socks5://", "HTTP://"]
)
HOSTS: Final = st.sampled_from(
    ["proxy.test:3128", "hub.test", "[::1]:80", "h:99999", "hub.test/a/b?c=d#e", ""]
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """Draw an address, right or wrong, with a user and a password in it."""
    password = PARTS[0] + draw(BETWEEN) + PARTS[1] + draw(BETWEEN) + PARTS[2]
    return f"{draw(SCHEMES)}someone:{password}@{draw(HOSTS)}"


def assert_hidden(text: str) -> None:
    assert not [part for part in PARTS if part in text], text


@given(addresses())
def test_a_redacted_address_has_no_part_of_its_password(address: str) -> None:
    assert_hidden(redacted(address))
    assert_hidden(shown_value(address))


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
@given(address=addresses(), of_flag=st.booleans())
def test_no_option_shows_a_password(option: Option[Any], address: str, *, of_flag: bool) -> None:
    name = option.flag.lstrip("-").replace("-", "_")
    arguments = argparse.Namespace(**{name: address if of_flag else None})
    try:
        option.value(arguments, {} if of_flag else {option.variable: address})
    except UsageError as error:
        assert_hidden(str(error))


@pytest.mark.parametrize(
    "argv", [["{}"], ["warm", "{}"], ["warm", "--hubb={}"], ["warm", "--{}"], ["collect", "{}"]]
)
@given(address=addresses())
def test_no_mistake_on_the_command_line_shows_a_password(argv: list[str], address: str) -> None:
    with pytest.raises(ModelCacheError) as caught:
        cache_warmer([part.format(address) for part in argv], {})
    assert_hidden(str(caught.value))


@given(st.sampled_from(["http", "https", "socks5"]), st.text("/#?@:%&=+~!$*;,.", min_size=1, max_size=3))
def test_a_message_of_ours_has_no_password_of_an_address_in_it(scheme: str, between: str) -> None:
    address = f"{scheme}://someone:{PARTS[0]}{between}{PARTS[1]}@hub.test/a"
    error = ModelCacheError(f'cannot reach "{address}" now', "wait")
    assert_hidden(error.message)
    assert "hub.test/a" in str(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host:8443/a/b?X-Signature=secret#x", "https://host:8443/a/b"),
        ("http://host/a", "http://host/a"),
        (
            "https://hub.test/org/name/resolve/main/a.bin?sig=1",
            "https://hub.test/org/name/resolve/main/a.bin",
        ),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://[::1", "http://…"),
        ("user:secret@host", "host"),
        ("https://host/a?mail=someone@place&sig=secret", "https://…"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "text", ["5x", "a:b", "/data/a@b/c:d", "org/name: file@2x.png", "uid 1 at 12:30", "x@y"]
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert without_passwords(text) == text
