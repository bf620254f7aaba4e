"""Read the XML in a ZIP package of an office program (docx, odt, xlsx), and refuse what only exhausts the memory.

The directory of the package is checked before anything is unpacked, and the bytes are counted while they are, because a
directory may lie. A document type, the only place of entities, is refused: office programs write none.
"""

import lzma
import zipfile
import zlib
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from model_cache.errors import UsageError

# Unpacked bytes of a part that is read into memory, and of all parts, because the sheets of a workbook are streamed.
MAX_PART_BYTES: Final = 128 * 2**20
_MAX_PACKAGE_BYTES: Final = 4 * 2**30
_MAX_PARTS: Final = 50_000
# Text in XML is packed up to about 40:1, a bomb 1000:1. Small parts cannot do harm.
_MAX_RATIO: Final = 200
_RATIO_FROM_BYTES: Final = 4 * 2**20
_MAX_DEPTH: Final = 200
_CHUNK_BYTES: Final = 64 * 1024

_DAMAGED_REMEDY: Final = "open it with the program that wrote it and save it again"


class OfficePackage:
    """An open package."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        """Read the directory of a package; `name` is the file's, for messages.

        Raises:
            UsageError: when it is damaged, or unpacks to much more than documents do.
        """
        self._name = name
        try:
            self._archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self._damaged(error) from error
        self._sizes = {info.filename: info for info in self._archive.infolist()}
        if len(self._sizes) > _MAX_PARTS:
            raise self._bomb(f"it has {len(self._sizes):,} parts")
        self._check(sum(info.file_size for info in self._sizes.values()), _MAX_PACKAGE_BYTES)
        for info in self._sizes.values():
            if info.file_size > _RATIO_FROM_BYTES and info.file_size > _MAX_RATIO * max(
                1, info.compress_size
            ):
                raise self._bomb(
                    f"{info.filename} is packed {info.file_size // max(1, info.compress_size):,}:1"
                )

    def __enter__(self) -> "OfficePackage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def parse(self, part: str) -> Element | None:
        """Return the XML tree of a part, whose names have no namespaces; None if there is no such part.

        Raises:
            UsageError: when it is damaged, has a document type, or is too large.
        """
        info = self._sizes.get(part)
        if info is None:
            return None
        self._check(info.file_size, MAX_PART_BYTES)
        parser = _TreeParser()
        size = 0
        try:
            with self._archive.open(info) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    size += len(chunk)
                    self._check(size, MAX_PART_BYTES)
                    parser.feed(chunk)
            return parser.close()
        except _Forbidden as error:
            raise self._bomb(str(error)) from error
        except (
            zipfile.BadZipFile,
            zlib.error,
            expat.ExpatError,
            EOFError,
            OSError,
            RuntimeError,  # a part with a password
            NotImplementedError,
            lzma.LZMAError,
            LookupError,  # an encoding that does not exist
            ValueError,  # one that expat cannot read, such as UTF-7
        ) as error:
            raise self._damaged(error) from error

    def has(self, part: str) -> bool:
        """Return whether there is such a part."""
        return part in self._sizes

    def parts(self) -> Sequence[str]:
        """Return the names of all parts."""
        return list(self._sizes)

    def check_size(self, part: str, limit: int) -> None:
        """Check that a part is not too large; no more is unpacked of it than the directory says.

        Raises:
            UsageError: when it unpacks to more bytes than `limit`.
        """
        self._check(self._sizes[part].file_size, limit)

    def _check(self, size: int, limit: int) -> None:
        if size > limit:
            raise self._bomb(f"it unpacks to more than {limit // 2**20:,} MiB")

    def _bomb(self, what: str) -> UsageError:
        return UsageError(
            f"{self._name} is not read: {what}, as a file does that is made to exhaust the memory",
            "if it is a real document, save its text as plain text and give that file",
        )

    def _damaged(self, error: Exception) -> UsageError:
        return UsageError(f"{self._name} is damaged ({error})", _DAMAGED_REMEDY)


class _Forbidden(ValueError):
    """XML that no office program writes."""


class _TreeParser:
    """Builds a tree; expat alone, because it tells of a document type before it reads one."""

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._depth = 0
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._builder.data
        self._parser.StartDoctypeDeclHandler = self._refuse

    def feed(self, chunk: bytes) -> None:
        self._parser.Parse(chunk)

    def close(self) -> Element:
        self._parser.Parse(b"", True)
        return self._builder.close()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _Forbidden(f"its XML is nested more than {_MAX_DEPTH} times")
        self._builder.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._builder.end(_local(name))

    def _refuse(self, name: str, *_: object) -> None:
        raise _Forbidden(f"its XML has a document type ({name})")


def _local(name: str) -> str:
    return name.rpartition("}")[2]
