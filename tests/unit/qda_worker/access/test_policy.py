"""Which credentials are accepted, by which name, and what happens when the file of tokens changes."""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from qda_worker.access.policy import AccessPolicy
from qda_worker.errors import ClientNotAllowed, TokenMissing, TokenUnknown
from qda_worker.settings import AccessSettings

ALICE: Final = "alice-0123456789abcdef"
BOB: Final = "bob-fedcba9876543210"


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def log(lines: list[dict[str, Any]]) -> structlog.typing.FilteringBoundLogger:
    def keep(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        lines.append(dict(event))
        raise structlog.DropEvent

    made: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[keep]
    )
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "tokens", f"alice {ALICE}\nbob {BOB}\n")


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    return path


def policy(log: structlog.typing.FilteringBoundLogger, **settings: Any) -> AccessPolicy:
    return AccessPolicy(AccessSettings(**settings), log, max_calls=10)


def name_of(token: str, access: AccessPolicy) -> str:
    return access.check_token((f"Bearer {token}",))


def test_without_requirements_every_call_is_accepted_and_has_no_name(log: Any) -> None:
    open_policy = policy(log)
    assert open_policy.check_token(()) == name_of("anything", open_policy) == ""
    assert open_policy.check_certificate(()) == open_policy.check_certificate(["any.example.org"]) == ""
    assert open_policy.budget("ipv4:10.0.0.1") is None


def test_a_token_gives_its_name(log: Any, file: Path) -> None:
    closed = policy(log, tokens=file)
    assert name_of(ALICE, closed) == "alice"
    assert closed.check_token((f"  bearer   {BOB} ",)) == "bob"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ((), TokenMissing),
        (("",), TokenMissing),
        (("Bearer",), TokenMissing),
        (("Bearer ",), TokenMissing),
        ((ALICE,), TokenMissing),
        ((f"Basic {ALICE}",), TokenMissing),
        ((f"Bearer {ALICE}", f"Bearer {BOB}"), TokenMissing),
        ((f"Bearer {ALICE}, Bearer {BOB}",), TokenUnknown),
        ((f"Bearer {ALICE}x",), TokenUnknown),
        (("Bearer Größe-0123456789",), TokenUnknown),
    ],
)
def test_other_authorizations_are_refused_without_quoting_them(
    log: Any, file: Path, values: tuple[str, ...], error: type[TokenMissing | TokenUnknown]
) -> None:
    with pytest.raises(error) as caught:
        policy(log, tokens=file).check_token(values)
    assert caught.value.status == "UNAUTHENTICATED"
    assert caught.value.remedy
    assert ALICE not in str(caught.value)
    assert "0123456789" not in str(caught.value)


def test_one_of_the_names_of_a_certificate_must_be_allowed(log: Any) -> None:
    closed = policy(log, allowed_clients=("Alice.Example.org", "spiffe://td/ns/a/sa/B", "dats"))
    assert closed.check_certificate(("other", "alice.example.ORG")) == "Alice.Example.org"
    assert closed.check_certificate(("spiffe://td/ns/a/sa/B", "dats")) == "spiffe://td/ns/a/sa/B"
    for names in (("spiffe://td/ns/a/sa/b",), ("x.alice.example.org",), ("dats2",)):
        with pytest.raises(ClientNotAllowed, match="none of the names") as caught:
            closed.check_certificate(names)
        assert caught.value.status == "PERMISSION_DENIED"
    with pytest.raises(ClientNotAllowed, match="no client certificate"):
        closed.check_certificate(())


def test_a_changed_file_is_used_and_a_broken_one_keeps_the_former_tokens(
    log: Any, lines: list[dict[str, Any]], file: Path
) -> None:
    closed = policy(log, tokens=file)
    write(file, f"alice {ALICE}\nalice new-{ALICE}\n")
    closed.reload_if_changed()
    assert name_of(f"new-{ALICE}", closed) == name_of(ALICE, closed) == "alice"
    with pytest.raises(TokenUnknown):
        name_of(BOB, closed)
    for content in ("", f"{ALICE}\n"):
        write(file, content)
        for _ in range(3):
            closed.reload_if_changed()
    file.unlink()
    closed.reload_if_changed()
    assert name_of(ALICE, closed) == "alice"
    write(file, f"bob {BOB}\n")
    closed.reload_if_changed()
    assert name_of(BOB, closed) == "bob"
    assert [(line["event"], line.get("tokens")) for line in lines] == [
        ("access.tokens_loaded", 2),
        ("access.tokens_loaded", 2),
        *[("access.tokens_not_loaded", None)] * 3,
        ("access.tokens_loaded", 1),
    ]
    assert not any(secret in str(lines) for secret in (ALICE, BOB))


def test_a_swapped_secret_of_kubernetes_is_noticed(log: Any, tmp_path: Path) -> None:
    def mount(version: str, content: str) -> None:
        (tmp_path / version).mkdir()
        stamp = write(tmp_path / version / "tokens", content)
        os.utime(stamp, (1_700_000_000, 1_700_000_000))  # both versions have the same time and size
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    mount("..1", f"alice {ALICE}\n")
    (tmp_path / "tokens").symlink_to("..data/tokens")
    closed = policy(log, tokens=tmp_path / "tokens")
    mount("..2", f"alice {ALICE[::-1]}\n")
    closed.reload_if_changed()
    assert name_of(ALICE[::-1], closed) == "alice"
    with pytest.raises(TokenUnknown):
        name_of(ALICE, closed)
