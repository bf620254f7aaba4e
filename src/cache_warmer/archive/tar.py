"""Tar streams of plain files: written the same way each time, and read without trust.

The standard library's reader takes links, devices, sparse files and headers of any length, because archives in the wild
have them. Ours have none of these, so the reader refuses them before it allocates or writes anything. Headers
themselves are made and judged by `tarfile`.
"""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final

from cache_warmer.archive.format import REMEDY
from cache_warmer.errors import ArchiveInvalid

BLOCK: Final = tarfile.BLOCKSIZE
CHUNK: Final = 1 << 20
END: Final = bytes(2 * BLOCK)
# Of a header that carries a long name: a name has at most 1,024 bytes.
_MAX_EXTENDED_BYTES: Final = 1 << 16
# Of zeros after the end: writers fill up a record of 10 kB.
_MAX_TRAILER_BYTES: Final = 1 << 20


def header(name: str, size: int) -> bytes:
    """Return what stands before a file's content."""
    info = tarfile.TarInfo(name)  # modes 0644, owner 0, time 0
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """Return what stands behind a file's content."""
    return bytes(-size % BLOCK)


class TarReader:
    """Reads one archive from front to back; memory is one chunk."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = self._behind = 0

    def next(self) -> tuple[str, int] | None:
        """Return name and size of the next file; None at the end of the archive. Raises `ArchiveInvalid`."""
        if self._left or self._behind:
            raise AssertionError("the former file was not read to its end")
        block = self._exactly(BLOCK)
        if block == bytes(BLOCK):
            self._demand_end()
            return None
        info = self._header(block)
        path, size = info.name, info.size
        if info.type == tarfile.XHDTYPE:
            extended = self._extended(info.size)
            info = self._header(self._exactly(BLOCK))
            path, size = extended.get("path", info.name), int(extended.get("size", info.size))
        if info.type != tarfile.REGTYPE:
            raise _invalid(f"{path!r} is {_kind(info)}, where only plain files are allowed")
        if size < 0:
            raise _invalid(f"{path!r} has a size of {size}")
        self._left, self._behind = size, -size % BLOCK
        return path, size

    def chunks(self) -> Iterator[bytes]:
        """The content of the file that `next` returned; must be read to its end. Raises `ArchiveInvalid`."""
        while self._left:
            chunk = self._stream.read(min(CHUNK, self._left))
            if not chunk:
                raise _cut_short()
            self._left -= len(chunk)
            yield chunk
        behind, self._behind = self._behind, 0
        if any(self._exactly(behind)):
            raise _invalid("there is something between its files")

    def whole(self, limit: int) -> bytes:
        """Return the content of a small file. Raises `ArchiveInvalid` if it has more than `limit` bytes."""
        if self._left > limit:
            raise _invalid(f"a document in it has {self._left} bytes, more than {limit}")
        return b"".join(self.chunks())

    def _demand_end(self) -> None:
        if any(self._exactly(BLOCK)):
            raise _invalid("it ends in the middle")
        count = 0
        while chunk := self._stream.read(CHUNK):
            count += len(chunk)
            if any(chunk) or count > _MAX_TRAILER_BYTES:
                raise _invalid("something follows its end")

    def _header(self, block: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise _invalid(f"{_what(block)} ({error})") from error

    def _extended(self, size: int) -> dict[str, str]:
        if size > _MAX_EXTENDED_BYTES:
            raise _invalid(f"it has a header of {size} bytes")
        content = self._exactly(size)
        self._exactly(-size % BLOCK)
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
            raise _invalid(f"it has a header with {min(unknown)!r}, which is not of cache-warmer's")
        return fields

    def _exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            chunk = self._stream.read(count - len(content))
            if not chunk:
                raise _cut_short()
            content += chunk
        return content


def _kind(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return f"a link (to {info.linkname[:200]!r})"
    if info.isdir():
        return "a folder"
    return "a device" if info.isdev() else f"an entry of type {info.type!r}"


def _what(block: bytes) -> str:
    packed = {b"\x1f\x8b": "gunzip", b"BZ": "bunzip2", b"\xfd7": "xz -d", b"\x28\xb5": "zstd -d"}
    if command := packed.get(block[:2]):
        return f"it is packed: `{command} < FILE | cache-warmer import -` reads it"
    return "it is no tar archive, or damaged"


def _cut_short() -> ArchiveInvalid:
    return _invalid("it ends too early: it was cut short, or its export failed")


def _invalid(what: str) -> ArchiveInvalid:
    return ArchiveInvalid(what, REMEDY)
