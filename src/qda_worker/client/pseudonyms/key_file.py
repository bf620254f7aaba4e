"""The key: which forms were replaced by which placeholders, and where. Who has it can identify the people.

It is created with mode 600, in a place of its own, and never replaces a file. It is JSON, so that it can be read in
twenty years without this program.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from model_cache.errors import UsageError
from model_cache.file_io import read_small_file
from qda_worker.client.pseudonyms.corpus_files import write_error
from qda_worker.client.pseudonyms.replacement import Replaced

_PURPOSE: Final = "key of pseudonyms: keep it secret, and apart from the texts"
_FORMAT: Final = 1
_MAX_BYTES: Final = 2**30
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class FileKey:
    """What restores one file.

    Attributes:
        name: path of the new file in the output folder, with `/`.
        original: path of the original, relative in the same way.
        encoding: of both.
        mark: byte order mark of both, as hexadecimal digits.
        sha256: of the new file.
        original_sha256: of the file that is restored: the original, or its extracted text.
        is_extracted: whether the original was a document, whose text alone is restored.
        replaced: the replacements, in order.
    """

    name: str
    original: str
    encoding: str
    mark: str
    sha256: str
    original_sha256: str
    is_extracted: bool
    replaced: Sequence[Replaced]


@dataclass(frozen=True, slots=True)
class Key:
    """The content of a key.

    Attributes:
        placeholders: the forms of each placeholder, the most complete first.
        files: the files.
    """

    placeholders: Mapping[str, Sequence[str]]
    files: Sequence[FileKey]


class NewKey:
    """A key file that is being made: it exists from the start, so that a run cannot end without a place for it."""

    def __init__(self, path: Path, output: Path) -> None:
        """Create the file, empty.

        Args:
            path: the file.
            output: the folder of the new texts, in which it must not be.

        Raises:
            UsageError: when it exists, cannot be created, or would be beside the texts.
        """
        self._path = path
        resolved, folder = path.absolute().resolve(), output.absolute().resolve()
        if resolved == folder or folder in resolved.parents:
            raise UsageError(
                f"the key {path} would be in the folder of the texts, and be passed on with them",
                "give a place elsewhere, which only you can read",
            )
        flags = (
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        )
        try:
            descriptor = os.open(path, flags, _MODE)
        except FileExistsError as error:
            raise UsageError(
                f"{path} exists", "give another --key; a key is never replaced, because texts would be lost"
            ) from error
        except OSError as error:
            raise UsageError(
                f"{path} cannot be created: {error.strerror}", "give a file in a folder that exists"
            ) from error
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, _MODE)  # whatever the umask and the folder's defaults are
        self._file = open(descriptor, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 - closed below

    def write(self, key: Key) -> None:
        """Write the key and close the file.

        Raises:
            ModelCacheError: when the disk is full.
            OSError: when it cannot be written.
        """
        document = {
            "purpose": _PURPOSE,
            "format": _FORMAT,
            "placeholders": {name: list(forms) for name, forms in key.placeholders.items()},
            "files": [
                {**asdict(each), "replaced": [[at.start, at.length, at.original] for at in each.replaced]}
                for each in key.files
            ],
        }
        content = json.dumps(document, ensure_ascii=True, indent=1)
        try:
            with self._file as file:
                file.write(content + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self._path, error) from error

    def discard(self) -> None:
        """Remove the file of a run that failed."""
        with suppress(OSError):  # a full disk
            self._file.close()
        self._path.unlink(missing_ok=True)


def read_key(path: Path) -> Key:
    """Read a key.

    Raises:
        UsageError: when the file cannot be read, or is no key.
    """
    try:
        document = json.loads(read_small_file(path, _MAX_BYTES))
        if document["format"] != _FORMAT:
            raise UsageError(f"{path} is a key of a later version", "use a newer qda-client")
        return Key(
            {str(name): tuple(map(str, forms)) for name, forms in document["placeholders"].items()},
            tuple(_file_key(each) for each in document["files"]),
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "give a readable file") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is no key", "give the file that --key has written") from error


def _file_key(value: Mapping[str, Any]) -> FileKey:
    replaced = tuple(
        Replaced(int(start), int(length), str(text)) for start, length, text in value["replaced"]
    )
    return FileKey(
        **{
            name: str(value[name])
            for name in ("name", "original", "encoding", "mark", "sha256", "original_sha256")
        },
        is_extracted=bool(value["is_extracted"]),
        replaced=replaced,
    )
