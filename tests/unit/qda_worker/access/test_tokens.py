"""The file of tokens: what it may contain, and that no error quotes a token."""

import hashlib
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import UsageError
from qda_worker.access.tokens import MAX_TOKEN_LENGTH, TokenTable, read_tokens

ALICE: Final = "alice-0123456789abcdef"
NEW: Final = "Zm9v+YmFy/4_~.-0123456789=="
BOB: Final = "bob-fedcba9876543210"


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def test_names_have_tokens_and_digests_with_comments_and_blank_lines(file: Path) -> None:
    content = f"\ufeff# callers\n\nalice {ALICE}\r\nalice\t{NEW}   # since May\n  bob sha256:{digest(BOB).upper()}\n"
    table = read_tokens(write(file, content))
    assert [table.find(token) for token in (ALICE, NEW, BOB)] == ["alice", "alice", "bob"]
    assert table.names == {"alice", "bob"}
    assert len(table) == 3


def test_only_the_exact_token_is_found(file: Path) -> None:
    table = read_tokens(write(file, f"alice {ALICE}\nbob sha256:{digest(BOB)}\n"))
    for token in (
        "",
        ALICE[:-1],
        ALICE + "0",
        ALICE.upper(),
        "alice",
        digest(BOB),
        "sha256:" + digest(BOB),
        "\ud800",
    ):
        assert table.find(token) is None


def test_tables_are_equal_by_content_and_show_no_token(file: Path) -> None:
    table = read_tokens(write(file, f"alice {ALICE}\nalice {NEW}\n"))
    assert table == read_tokens(write(file, f"alice {NEW}\n# old\nalice {ALICE}\nalice {ALICE}"))
    assert table != TokenTable({})
    assert repr(table) == "TokenTable(2 tokens of 1 names)"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "contain no token"),
        ("# alice\n\n", "contain no token"),
        (f"{ALICE}\n", "line 1: found 1 word instead of"),
        (f"alice {NEW}\nalice {ALICE} {BOB}\n", "line 2: found 3 words instead of"),
        ("alice s3cret\n", "line 1: the token has 6 characters"),
        (f"alice {'x' * (MAX_TOKEN_LENGTH + 1)}\n", "line 1: the token has 1025 characters"),
        ("alice sëcret-0123456789\n", "line 1: the token has characters that"),
        ("alice secret,0123456789ab\n", "line 1: the token has characters that"),
        (f"alice sha256:{digest(BOB)[:-1]}\n", "line 1: the digest is not 64"),
        (f"-alice {ALICE}\n", "line 1: the name is not valid"),
        (f"al:ice {ALICE}\n", "line 1: the name is not valid"),
        (f"{'a' * 65} {ALICE}\n", "line 1: the name is not valid"),
        (
            f"alice {ALICE}\nbob sha256:{digest(ALICE)}\n",
            "line 2: this token already belongs to another name",
        ),
        (b"alice \xff\xfe0123456789abcdef\n", "are not text in UTF-8"),
        ("a" * (2**20 + 1), "cannot be read: larger than"),
    ],
)
def test_an_unusable_file_is_explained_without_its_tokens(
    file: Path, content: str | bytes, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read_tokens(write(file, content))
    shown = f"{caught.value} {caught.value.remedy}"
    assert caught.value.remedy
    for secret in (ALICE, NEW, BOB, "s3cret", "sëcret", digest(BOB)[:20], "x" * 20):
        assert secret not in shown


def test_a_missing_file_or_a_folder_is_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tokens cannot be read: No such file"):
        read_tokens(file)
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_tokens(tmp_path)


def test_other_users_may_not_write_the_file_nor_read_its_tokens(file: Path) -> None:
    plain, digests = f"alice {ALICE}\n", f"alice sha256:{digest(ALICE)}\n"
    for content, mode in ((plain, 0o640), (plain, 0o660), (digests, 0o644)):
        assert read_tokens(write(file, content, mode)).find(ALICE) == "alice"
    with pytest.raises(UsageError, match="every user may read the tokens") as caught:
        read_tokens(write(file, plain, 0o644))
    assert "sha256" in caught.value.remedy
    with pytest.raises(UsageError, match="every user may write the tokens"):
        read_tokens(write(file, digests, 0o646))
