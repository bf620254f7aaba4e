"""Writing a lock: one line per file and answer, with the unknown fields of the former one."""

import json
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from model_cache.catalog.lock import LockedFile, LockedModel, dump_lock, lock_document, parse_lock

_NAME: Final = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:."), min_size=1, max_size=20
)
_FILES: Final = st.builds(
    LockedFile,
    st.none() | st.integers(0, 2**50),
    st.none() | st.from_regex("[0-9a-f]{64}", fullmatch=True),
    st.none() | st.from_regex("[0-9a-f]{40}", fullmatch=True),
    st.none() | st.from_regex("[0-9a-f]{64}", fullmatch=True),
)
_MODELS: Final = st.builds(
    LockedModel,
    source=_NAME,
    revision=_NAME,
    files=st.dictionaries(_NAME, _FILES, max_size=4),
    whole_repository_bytes=st.none() | st.integers(0, 2**50),
    whole_repository_bytes_about=st.none() | st.integers(0, 2**50),
    resolved_from=st.none() | _NAME,
    answers=st.just(()),
)


@given(st.dictionaries(_NAME, _MODELS, max_size=3))
def test_a_lock_is_read_back_as_it_was_written(models: dict[str, LockedModel]) -> None:
    content = dump_lock(lock_document(list(models), models, None))

    assert parse_lock(content, "x").models == models


def test_each_file_has_a_line_of_its_own() -> None:
    model = LockedModel("o/n", "r", {f"{number}.json": LockedFile(1, None, None) for number in range(9)})

    lines = dump_lock(lock_document(["m"], {"m": model}, None)).decode().splitlines()

    assert sum('"bytes": 1' in line for line in lines) == 9


def test_unknown_fields_stay_as_long_as_the_revision_stays() -> None:
    former = {
        "comment": "ours",
        "models": {
            "same": {"source": "o/n", "revision": "r", "files": {}, "answers": {"text": 1}},
            "moved": {"source": "o/n", "revision": "old", "files": {}, "answers": {"text": 1}},
            "untouched": {"source": "o/n", "revision": "x", "files": {}, "answers": 1},
            "gone": {"source": "o/n", "revision": "x", "files": {}},
        },
    }
    new = {key: LockedModel("o/n", "r", {}) for key in ("same", "moved")}

    document = json.loads(dump_lock(lock_document(["untouched", "same", "moved"], new, former)))

    assert document["comment"] == "ours"
    assert list(document["models"]) == ["untouched", "same", "moved"]
    assert document["models"]["same"]["answers"] == {"text": 1}
    assert "answers" not in document["models"]["moved"]
    assert document["models"]["untouched"] == former["models"]["untouched"]  # type: ignore[index]  # as above
