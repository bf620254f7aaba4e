"""Explain in one line why a model did not load, and what to do, from the exception of a library.

The libraries raise many types of exceptions, often without the name of the file. So the files in the folder are opened
once more, each with the reader of its format, without running code and without reading tensors.
"""

import json
import pickle
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from model_cache.file_io import read_small_file

# The tokenizer of a multilingual model has 17 MB.
_MAX_JSON_BYTES: Final = 1 << 28
_CHECK: Final = "run cache-check --deep, then cache-warmer repair"


@dataclass(frozen=True, slots=True)
class Cause:
    """What went wrong, and what to do about it; one line each."""

    message: str
    remedy: str


class _FileState(Enum):
    READABLE = "readable"
    UNSAFE = "unsafe"
    DAMAGED = "damaged"


_NO_MEMORY: Final = Cause(
    "there is not enough memory to load it", "give the worker more memory, or fewer models"
)


def explain_load_error(error: Exception, folder: Path) -> Cause:
    """Return the cause of an exception that transformers, sentence-transformers or torch raised for a model.

    Args:
        error: the exception.
        folder: folder of the model; inspected if the exception does not name the file.
    """
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    states = {name: _file_state(file) for name, file in _model_files(folder).items()}
    unsafe = [name for name, state in states.items() if state is _FileState.UNSAFE]
    if unsafe and _is_refused_pickle(error):
        return _unsafe_file(unsafe[0])
    if damaged := [name for name, state in states.items() if state is _FileState.DAMAGED]:
        return _damaged_file(damaged[0])
    if not (folder / "config.json").is_file():
        return Cause("a file is missing: config.json", "run cache-check; does the catalog list the file?")
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, FileNotFoundError) or "no file named" in line or "does not appear to have" in line:
        return Cause(f"a file is missing: {line}", "run cache-check; does the catalog list the file?")
    if isinstance(error, PermissionError):
        return Cause(f"a file cannot be read: {line}", "let the worker's user read the cache")
    if "trust_remote_code" in str(error):
        return Cause(
            "it comes with Python code of its own, which this worker does not run",
            "use a model whose architecture is part of transformers",
        )
    if "ignore_mismatched_sizes" in str(error) or "size mismatch" in str(error):
        return Cause("its weights have other sizes than config.json says", _CHECK)
    if "model type" in line or "model_type" in line or "Unrecognized" in line:
        return Cause(
            f"its architecture is not one that this worker loads: {line}", "does the task fit the model?"
        )
    return Cause(f"{type(error).__name__}: {line}" if line else type(error).__name__, _CHECK)


def explain_file_error(error: Exception, file: Path, name: str) -> Cause:
    """Return the cause of an exception that torch raised for one known file of tensors.

    Args:
        error: the exception.
        file: path of the file.
        name: name of the file in the message.
    """
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, PermissionError):
        return Cause(f"{name} cannot be read: {error.strerror}", "let the worker's user read the cache")
    return _unsafe_file(name) if _file_state(file) is _FileState.UNSAFE else _damaged_file(name)


def _unsafe_file(name: str) -> Cause:
    return Cause(
        f"{name} holds Python objects other than tensors, which could run code, and was refused",
        "use a model with safetensors, or one whose weights hold tensors alone",
    )


def _damaged_file(name: str) -> Cause:
    return Cause(f"{name} cannot be read: it is truncated or not what its name says", _CHECK)


def _is_refused_pickle(error: BaseException | None) -> bool:
    """Return whether torch refused a pickle somewhere in the chain of exceptions."""
    while error is not None:
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _file_state(file: Path) -> _FileState:
    """Open a file with the reader of its format, without running code and without reading tensors."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        if file.suffix == ".json":
            json.loads(read_small_file(file, _MAX_JSON_BYTES))
        elif file.suffix == ".safetensors":
            with safe_open(file, framework="pt"):
                pass
        else:
            torch.load(file, map_location="meta", weights_only=True)
    except pickle.UnpicklingError:
        return _FileState.UNSAFE if _is_pickle(file) else _FileState.DAMAGED
    except (ValueError, RecursionError, SafetensorError, RuntimeError, EOFError, OSError):
        return _FileState.DAMAGED
    return _FileState.READABLE


def _is_pickle(file: Path) -> bool:
    """Return whether a file starts as torch's formats do.

    torch writes zip archives (PK); before version 1.6 it wrote pickles, which start with the opcode of the protocol.
    """
    with file.open("rb") as stream:
        return stream.read(2).startswith((b"PK", b"\x80"))


def _model_files(folder: Path) -> dict[str, Path]:
    """Return the files that a loader may have read, by relative name, the weights first."""
    suffixes = (".json", ".safetensors", ".bin", ".pt")
    files = [file for file in folder.rglob("*") if file.suffix in suffixes and file.is_file()]
    files.sort(key=lambda file: (not file.name.startswith(("model", "pytorch_model")), file))
    return {file.relative_to(folder).as_posix(): file for file in files}
