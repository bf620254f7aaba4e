"""The files of a corpus with their names in an output folder, and that folder: it is complete, or it is not there."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from model_cache.errors import NO_SPACE_ERRNOS, ModelCacheError, UsageError
from model_cache.reasons import Reason
from qda_worker.client.readers.files import STDIN, find_files, is_same_file


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file of a corpus.

    Attributes:
        path: where it is.
        name: its path in the folder that was given, or its name, with `/`.
    """

    path: Path
    name: str


def corpus_files(
    given: Sequence[str], warn: Callable[[str], None] | None = None, *, review: Path | None = None
) -> list[CorpusFile]:
    """Return the files of files and folders.

    Args:
        given: paths of files and folders.
        warn: called with a message that names files of unknown types, which are left out.
        review: the review list, which is left out of folders.

    Raises:
        UsageError: when there is none, the review list is given as a file of the corpus, or two files would have the
            same name in the output folder.
    """
    if STDIN in given or not given:
        raise UsageError("the files must have names", "give files and folders instead of stdin")
    if review is not None and any(is_same_file(Path(each), review) for each in given):
        raise UsageError(f"{review} is the review list", "leave it out of the files, or name another list")
    files, unknown = find_files(given, [] if review is None else [review])
    if unknown and warn is not None:
        warn(f"note: {unknown}")
    folders = [Path(each) for each in given if Path(each).is_dir()]
    found: dict[str, CorpusFile] = {}
    for each in files:
        path = Path(each)
        folder = next((folder for folder in folders if path.is_relative_to(folder)), path.parent)
        name = path.relative_to(folder).as_posix()
        if name.casefold() in found:
            raise UsageError(
                f"{path} and {found[name.casefold()].path} would have the same name in the output folder",
                "rename one, or give the folder that has both",
            )
        found[name.casefold()] = CorpusFile(path, name)
    return list(found.values())


def write_error(path: Path, error: OSError) -> ModelCacheError | OSError:
    """Return the error of a full disk, or another one with the name of the file."""
    if error.errno in NO_SPACE_ERRNOS:
        return ModelCacheError(
            f"{path}: {error.strerror}",
            "free some space there, and run the command again; nothing is left of this run",
            reason=Reason.NO_SPACE,
        )
    return OSError(error.errno, error.strerror, str(path))


class OutputFolder:
    """A new folder. Files are written into it; if that fails, it is removed with all of them."""

    def __init__(self, path: Path) -> None:
        """Create the folder.

        Raises:
            UsageError: when it has files, or cannot be created.
        """
        self.path = path
        self._written: list[Path] = []
        self._folders: list[Path] = []
        try:
            if path.is_dir() and not any(path.iterdir()):
                return
            path.mkdir(mode=0o700)
            self._folders.append(path)
        except FileExistsError as error:
            raise UsageError(f"{path} exists", "give another --output, or an empty folder") from error
        except OSError as error:
            raise UsageError(
                f"{path} cannot be created: {error.strerror}", "give a folder in one that exists"
            ) from error

    def write(self, name: str, content: bytes) -> None:
        """Write a file.

        Args:
            name: its path in the folder, with `/`.
            content: its content.

        Raises:
            ModelCacheError: when the disk is full.
            UsageError: when the name leads out of the folder.
            OSError: when the file cannot be written.
        """
        pure = PurePosixPath(name)
        if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\\" in name or "\0" in name:
            raise UsageError(
                f"the name {name!r} leads out of {self.path}", "give the key that --key has written"
            )
        target = self.path.joinpath(*pure.parts)
        try:
            for folder in reversed(target.relative_to(self.path).parents):
                self._make(self.path / folder)
            flags = (
                os.O_WRONLY
                | os.O_CREAT
                | os.O_EXCL
                | getattr(os, "O_NOFOLLOW", 0)
                | getattr(os, "O_BINARY", 0)
            )
            with open(os.open(target, flags, 0o666), "wb") as file:
                self._written.append(target)
                file.write(content)
        except OSError as error:
            raise write_error(target, error) from error

    def discard(self) -> None:
        """Remove what was written, and the folders that were made."""
        for file in self._written:
            with suppress(OSError):
                file.unlink()
        for folder in reversed(self._folders):
            with suppress(OSError):
                folder.rmdir()

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir()
            self._folders.append(folder)
