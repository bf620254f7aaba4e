"""Untrusted wheels: what is unpacked, and what is refused before a byte is written."""

import contextlib
import random
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache_warmer.artifacts.wheel import read_content, unpack
from cache_warmer.errors import ContentMismatch
from tests.service.warmer.fixtures import write_wheel


def test_the_files_of_record_are_unpacked_and_hashed(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0")
    content = read_content(wheel, "de_tiny")

    written = unpack(wheel, content, tmp_path / "tree")

    assert set(written) == {file.path for file in content.files}
    assert content.dist_info == "de_tiny-1.0.0.dist-info"
    assert (tmp_path / "tree/de_tiny/de_tiny-1.0.0/config.cfg").read_bytes() == b"[nlp]\n"
    assert stat.S_IMODE((tmp_path / "tree/de_tiny/__init__.py").stat().st_mode) == 0o644
    assert content.bytes == sum(
        path.stat().st_size for path in (tmp_path / "tree").rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.py",
        "/etc/cron.d/escaped",
        "de_tiny/../../escaped.py",
        "de_tiny\\..\\escaped.py",
        "C:/escaped.py",
        "de_tiny/" + "x" * 300,
        "sitecustomize.py",
        "other/__init__.py",
        "de_tiny-1.0.0.data/scripts/tool",
    ],
)
def test_a_name_outside_the_package_is_refused_even_if_record_lists_it(tmp_path: Path, name: str) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0", {name: b"print('no')"})

    with pytest.raises(ContentMismatch, match=r"which|not of the package"):
        read_content(wheel, "de_tiny")


def test_a_member_that_record_does_not_list_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0", extra={"de_tiny/more.py": b"print('no')"})

    with pytest.raises(ContentMismatch, match=r"disagree about 'de_tiny/more\.py'"):
        read_content(wheel, "de_tiny")


def test_a_record_that_lists_a_missing_file_is_refused(tmp_path: Path) -> None:
    record = "de_tiny/gone.py,sha256=AAAA,4\nde_tiny-1.0.0.dist-info/RECORD,,\n"
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0", record=record)

    with pytest.raises(ContentMismatch, match="disagree"):
        read_content(wheel, "de_tiny")


@pytest.mark.parametrize("record", ["one,two\n", "a,md5=AA,1\n", "a,sha256=!,x\n", b"\xe4,,\n"])
def test_a_record_that_cannot_be_read_is_refused(tmp_path: Path, record: str | bytes) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0", record="placeholder")
    rewrite(wheel, "de_tiny-1.0.0.dist-info/RECORD", record)

    with pytest.raises(ContentMismatch, match="RECORD"):
        read_content(wheel, "de_tiny")


def rewrite(wheel: Path, name: str, content: str | bytes) -> None:
    with zipfile.ZipFile(wheel) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as new:
        for member, data in {**members, name: content}.items():
            new.writestr(member, data)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [(b"[NLP]\n", "sha256"), (b"[nlp]", "5 bytes"), (b"[nlp]\n" * 1_000_000, "larger than the 6 bytes")],
)
def test_content_that_differs_from_record_is_refused_at_its_size(
    tmp_path: Path, content: bytes, wrong: str
) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0")
    name = "de_tiny/de_tiny-1.0.0/config.cfg"
    rewrite(wheel, name, content)

    with pytest.raises(ContentMismatch, match=wrong):
        unpack(wheel, read_content(wheel, "de_tiny"), tmp_path / "tree")

    assert (tmp_path / "tree" / name).stat().st_size <= 6


def test_a_zip_bomb_whose_record_agrees_is_refused_before_unpacking(tmp_path: Path) -> None:
    big = "de_tiny/de_tiny-1.0.0/vocab/zeros"
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0", {big: bytes(120_000_000)})

    with pytest.raises(ContentMismatch, match=r"would unpack \d+ bytes to 120\d+, .* bomb"):
        read_content(wheel, "de_tiny")


def test_a_link_in_a_wheel_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0")
    with zipfile.ZipFile(wheel, "a") as archive:
        info = zipfile.ZipInfo("de_tiny/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")

    with pytest.raises(ContentMismatch, match="as a link"):
        read_content(wheel, "de_tiny")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.whl"
    page.write_text("<html>")

    with pytest.raises(ContentMismatch, match="is no wheel"):
        read_content(page, "de_tiny")


def test_an_archive_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0")
    content = read_content(wheel, "de_tiny")
    damaged = bytearray(wheel.read_bytes())
    damaged[200:20_000] = bytes(19_800)
    wheel.write_bytes(damaged)

    with pytest.raises(ContentMismatch):
        unpack(wheel, content, tmp_path / "tree")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("de_tiny/__init__.py", "print('other')")

    with pytest.raises(ContentMismatch, match="twice"):
        read_content(wheel, "de_tiny")


@pytest.mark.parametrize("size", ["-150000000", "", "1e3", "+5", "1_0", "٣", "9" * 30])
def test_a_size_in_record_is_a_number_from_0(tmp_path: Path, size: str) -> None:
    record = f"de_tiny/a,sha256=AAAA,{size}\nde_tiny-1.0.0.dist-info/RECORD,,\n"
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0", record="placeholder")
    rewrite(wheel, "de_tiny-1.0.0.dist-info/RECORD", record)

    with pytest.raises(ContentMismatch, match="has no size"):
        read_content(wheel, "de_tiny")


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_compression_that_wheels_do_not_use_is_refused(tmp_path: Path, compression: int) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0")
    with zipfile.ZipFile(wheel) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(wheel, "w", compression) as new:
        for name, data in members.items():
            new.writestr(name, data)

    with pytest.raises(ContentMismatch, match="compression"):
        read_content(wheel, "de_tiny")


@given(seed=st.integers(0, 2**32), count=st.integers(1, 40), cut=st.booleans())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_wheel_is_refused_or_read_and_nothing_else_happens(
    tmp_path: Path, seed: int, count: int, *, cut: bool
) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0")
    content, numbers = bytearray(wheel.read_bytes()), random.Random(seed)
    for _ in range(count):
        content[numbers.randrange(len(content))] = numbers.randrange(256)
    if cut:
        del content[numbers.randrange(len(content)) :]
    wheel.write_bytes(content)
    tree = tmp_path / f"tree-{seed}-{count}-{cut}"
    shutil.rmtree(tree, ignore_errors=True)

    with contextlib.suppress(ContentMismatch):
        unpack(wheel, read_content(wheel, "de_tiny"), tree)


def test_a_name_that_is_file_and_folder_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0", {"de_tiny/a": b"1", "de_tiny/a/b": b"2"})

    with pytest.raises(ContentMismatch, match="as a file and as a folder"):
        read_content(wheel, "de_tiny")
