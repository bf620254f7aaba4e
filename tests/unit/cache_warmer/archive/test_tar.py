"""Tar streams: any tar program reads what is written, and only archives of plain files are read."""

import io
import tarfile
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_warmer.archive import tar
from cache_warmer.errors import ArchiveInvalid

_NAMES: Final = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=200
).filter(lambda name: name not in (".", ".."))
_FILES: Final = st.dictionaries(_NAMES, st.binary(max_size=2000), max_size=4)


def stream_of(files: dict[str, bytes]) -> bytes:
    members = [tar.header(name, len(body)) + body + tar.padding(len(body)) for name, body in files.items()]
    return b"".join(members) + tar.END


def read(content: bytes) -> dict[str, bytes]:
    reader, files = tar.TarReader(io.BytesIO(content)), {}
    while (member := reader.next()) is not None:
        files[member[0]] = reader.read_all(1 << 20)
    return files


@given(_FILES)
def test_a_written_archive_is_read_by_our_reader_and_by_the_standard_library(files: dict[str, bytes]) -> None:
    content = stream_of(files)

    assert read(content) == files
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = {member.name: member for member in archive.getmembers()}
        assert {name: archive.extractfile(member).read() for name, member in members.items()} == files  # type: ignore[union-attr]  # all are files
        assert {(member.mtime, member.uid, member.gid, member.mode) for member in members.values()} <= {
            (0, 0, 0, 0o644)
        }


def test_a_size_above_eight_gigabytes_is_read_back() -> None:
    reader = tar.TarReader(io.BytesIO(tar.header("big", 9 * 2**30)))

    assert reader.next() == ("big", 9 * 2**30)


@given(_FILES.filter(bool), st.data())
def test_a_stream_that_is_cut_anywhere_is_refused(files: dict[str, bytes], data: st.DataObject) -> None:
    content = stream_of(files)
    end = data.draw(st.integers(0, len(content) - 1))

    with pytest.raises(ArchiveInvalid):
        read(content[:end])


def entry(**changes: object) -> bytes:
    info = tarfile.TarInfo("a")
    for name, value in changes.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.PAX_FORMAT) + tar.END


def with_header(record: bytes) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    return info.tobuf(tarfile.USTAR_FORMAT) + record + tar.padding(len(record)) + entry()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (entry(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a link"),
        (entry(type=tarfile.LNKTYPE, linkname="b"), "a link"),
        (entry(type=tarfile.CHRTYPE), "a device"),
        (entry(type=tarfile.FIFOTYPE), "a device"),
        (entry(type=tarfile.DIRTYPE), "a folder"),
        (entry(type=tarfile.GNUTYPE_SPARSE), "type b'S'"),
        (entry(type=tarfile.GNUTYPE_LONGNAME), "type b'L'"),
        (b"\x1f\x8b" + bytes(600), "gunzip"),
        (b"PK\3\4" * 200, "no tar archive"),
        (b"", "too early"),
        (bytes(512) + b"x" * 512, "ends in the middle"),
        (tar.END + b"more" * 200, "something follows its end"),
        (tar.END + bytes(2 << 20), "something follows its end"),
        (with_header(b"13 path=../x\n"), ""),
        (with_header(b"99 path=x\n"), "a header that cannot be read"),
        (with_header(b"0 path=x\n"), "a header that cannot be read"),
        (with_header(b"nonsense"), "a header that cannot be read"),
        (with_header(b"13 size=many\n"), "a header that cannot be read"),
        (with_header(b"9 size=-5\n"), "a header that cannot be read"),
        (with_header(b"11 size=-5\n"), "a size of -5"),
        (with_header(b"22 SCHILY.xattr.a=bcd\n"), "SCHILY"),
        (tar.header("a", 3) + b"abc" + b"x" * 509 + tar.END, "something between its files"),
    ],
)
def test_an_archive_of_anything_but_plain_files_is_refused(content: bytes, message: str) -> None:
    if not message:  # names are checked by the importer
        assert list(read(content)) == ["../x"]
        return
    with pytest.raises(ArchiveInvalid, match=message):
        read(content)


def test_a_header_of_gigabytes_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 8 * 2**30

    with pytest.raises(ArchiveInvalid, match="a header of"):
        read(info.tobuf(tarfile.GNU_FORMAT))


def test_a_document_of_gigabytes_is_refused_before_it_is_read() -> None:
    reader = tar.TarReader(io.BytesIO(tar.header("a", 8 * 2**30)))
    reader.next()

    with pytest.raises(ArchiveInvalid, match="more than"):
        reader.read_all(1000)


def test_memory_is_one_chunk_for_a_file_of_any_size() -> None:
    size = 50 * tar.CHUNK
    reads: list[int] = []

    class Endless(io.RawIOBase):
        def __init__(self, first: bytes) -> None:
            self._first = first

        def read(self, count: int = -1) -> bytes:
            reads.append(count)
            taken, self._first = self._first[:count], self._first[count:]
            return taken or bytes(count)

    reader = tar.TarReader(Endless(tar.header("a", size)))  # type: ignore[arg-type]  # reads as one
    reader.next()
    assert sum(len(chunk) for chunk in reader.chunks()) == size

    assert max(reads) == tar.CHUNK
