"""Tar streams of plain files: written the same way each time, and read without trusting them.

The standard library's reader accepts links, devices, sparse files and headers of any length, because general archives
have them. Archives of this project have none of these, so `TarReader` refuses them before it allocates or writes
anything. Only the encoding of single headers is left to `tarfile`. Both directions stream: memory is one chunk.

Names are not checked here. The importer compares each with the one that it expects.
"""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final

from cache_warmer.archive.format import REMEDY
from cache_warmer.errors import ArchiveInvalid

BLOCK: Final = tarfile.BLOCKSIZE
# Bytes that are read or written at once.
CHUNK: Final = 1 << 20
# Two blocks of zeros end an archive.
END: Final = bytes(2 * BLOCK)
# Maximum size of an extended header, which contains a long name; a name has at most 1,024 bytes.
_MAX_EXTENDED_BYTES: Final = 1 << 16
# Maximum number of zeros after the end marker; writers fill up a record of 10 kB.
_MAX_TRAILER_BYTES: Final = 1 << 20
# The command that decompresses a file, by the first two bytes of the file.
_DECOMPRESSORS: Final = {b"\x1f\x8b": "gunzip", b"BZ": "bunzip2", b"\xfd7": "xz -d", b"\x28\xb5": "zstd -d"}


def header(name: str, size: int) -> bytes:
    """Return the header of a file with that size in bytes."""
    info = tarfile.TarInfo(name)  # mode 0644, owner 0, time 0
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def folder_header(name: str) -> bytes:
    """Return the header of a folder."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def link_header(name: str, target: str) -> bytes:
    """Return the header of a symbolic link."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """Return the zeros that follow the content of a file with that size in bytes."""
    return bytes(-size % BLOCK)


class TarReader:
    """Reads one archive from front to back.

    For each member call `next`, then read its content with `chunks` or `read_all`.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        # Bytes of the current member, and of its padding, that are still to be read.
        self._content_left = self._padding_left = 0

    def next(self) -> tuple[str, int] | None:
        """Return name and size in bytes of the next file; None at the end of the archive.

        Raises:
            ArchiveInvalid: the archive was cut short, or contains something other than plain files.
        """
        if self._content_left or self._padding_left:
            raise AssertionError("the previous file was not read to its end")
        block = self._read_exactly(BLOCK)
        if block == bytes(BLOCK):
            self._require_end()
            return None
        info = _parse_header(block)
        path, size = info.name, info.size
        if info.type == tarfile.XHDTYPE:
            extended = self._read_extended_header(info.size)
            info = _parse_header(self._read_exactly(BLOCK))
            path, size = extended.get("path", info.name), int(extended.get("size", info.size))
        if info.type != tarfile.REGTYPE:
            raise _invalid(f"{path!r} is {_type_name(info)}, where only plain files are allowed")
        if size < 0:
            raise _invalid(f"{path!r} has a size of {size}")
        self._content_left, self._padding_left = size, -size % BLOCK
        return path, size

    def chunks(self) -> Iterator[bytes]:
        """Yield the content of the file that `next` returned. It must be read to its end.

        Raises:
            ArchiveInvalid: the archive was cut short, or the padding is not empty.
        """
        while self._content_left:
            chunk = self._stream.read(min(CHUNK, self._content_left))
            if not chunk:
                raise _cut_short()
            self._content_left -= len(chunk)
            yield chunk
        count, self._padding_left = self._padding_left, 0
        if any(self._read_exactly(count)):
            raise _invalid("there is something between its files")

    def read_all(self, limit: int) -> bytes:
        """Return the whole content of the file that `next` returned.

        Raises:
            ArchiveInvalid: the file has more than `limit` bytes, or the archive was cut short.
        """
        if self._content_left > limit:
            raise _invalid(f"a document in it has {self._content_left} bytes, more than {limit}")
        return b"".join(self.chunks())

    def _require_end(self) -> None:
        """Read to the end of the stream, which has nothing but zeros."""
        if any(self._read_exactly(BLOCK)):
            raise _invalid("it ends in the middle")
        count = 0
        while chunk := self._stream.read(CHUNK):
            count += len(chunk)
            if any(chunk) or count > _MAX_TRAILER_BYTES:
                raise _invalid("something follows its end")

    def _read_extended_header(self, size: int) -> dict[str, str]:
        """Read a pax header (POSIX.1-2001): records of the form `<length> <name>=<value>` and a line break."""
        if size > _MAX_EXTENDED_BYTES:
            raise _invalid(f"it has a header of {size} bytes")
        content = self._read_exactly(size)
        self._read_exactly(-size % BLOCK)
        fields: dict[str, str] = {}
        try:
            while content:
                length, _, _ = content.partition(b" ")
                record, content = content[: int(length)], content[int(length) :]
                name, _, value = record.partition(b" ")[2].partition(b"=")
                if len(record) != int(length) or not value.endswith(b"\n"):
                    raise ValueError("a record without an end")
                fields[name.decode()] = value[:-1].decode()
            int(fields.get("size", "0"))
        except ValueError as error:
            raise _invalid(f"it has a header that cannot be read ({error})") from error
        if unknown := set(fields) - {"path", "size"}:
            raise _invalid(f"it has a header with {min(unknown)!r}, which cache-warmer does not write")
        return fields

    def _read_exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            chunk = self._stream.read(count - len(content))
            if not chunk:
                raise _cut_short()
            content += chunk
        return content


def _parse_header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise _invalid(f"{_why_no_header(block)} ({error})") from error


def _type_name(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return f"a link (to {info.linkname[:200]!r})"
    if info.isdir():
        return "a folder"
    return "a device" if info.isdev() else f"an entry of type {info.type!r}"


def _why_no_header(block: bytes) -> str:
    if command := _DECOMPRESSORS.get(block[:2]):
        return f"it is compressed: `{command} < FILE | cache-warmer import -` reads it"
    return "it is no tar archive, or damaged"


def _cut_short() -> ArchiveInvalid:
    return _invalid("it ends too early: it was cut short, or its export failed")


def _invalid(message: str) -> ArchiveInvalid:
    return ArchiveInvalid(message, REMEDY)
