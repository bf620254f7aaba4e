"""Why a model did not load, in one line with a remedy, from whatever its library raised."""

import json
import pickle
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

_CHECK: Final = "run cache-check --deep, then cache-warmer repair"


@dataclass(frozen=True, slots=True)
class Cause:
    """What went wrong and what to do about it; never more than a line each."""

    message: str
    remedy: str


class _State(Enum):
    WELL = "well"
    REFUSED = "refused"
    DAMAGED = "damaged"


def explain(error: Exception, folder: Path) -> Cause:
    """The cause behind an exception that transformers, sentence-transformers or torch raised over `folder`.

    Looks into the folder where the exception does not say which file it was.
    """
    if isinstance(error, MemoryError):
        return Cause("there is not memory enough to load it", "give the worker more memory, or fewer models")
    states = {name: _state(file) for name, file in _files(folder).items()}
    refused = [name for name, state in states.items() if state is _State.REFUSED]
    if refused and _is_about_pickles(error):
        return _refused(refused[0])
    if damaged := [name for name, state in states.items() if state is _State.DAMAGED]:
        return _damaged(damaged[0])
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


def explain_file(error: Exception, file: Path, name: str) -> Cause:
    """The same for an exception over one file of tensors that is known; `name` is what the cause calls it."""
    if isinstance(error, MemoryError):
        return Cause("there is not memory enough to load it", "give the worker more memory, or fewer models")
    if isinstance(error, PermissionError):
        return Cause(f"{name} cannot be read: {error.strerror}", "let the worker's user read the cache")
    return _refused(name) if _state(file) is _State.REFUSED else _damaged(name)


def _refused(name: str) -> Cause:
    return Cause(
        f"{name} holds Python objects other than tensors, which could run code, and was refused",
        "use a model with safetensors, or one whose weights hold tensors alone",
    )


def _damaged(name: str) -> Cause:
    return Cause(f"{name} cannot be read: it is cut short or not what its name says", _CHECK)


def _is_about_pickles(error: BaseException | None) -> bool:
    """Whether torch refused a pickle somewhere behind `error`."""
    while error is not None:
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _state(file: Path) -> _State:
    """Whether its own format's reader opens `file`, without running code and without reading tensors."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        if file.suffix == ".json":
            json.loads(file.read_text(encoding="utf-8"))
        elif file.suffix == ".safetensors":
            with safe_open(file, framework="pt"):
                pass
        else:
            torch.load(file, map_location="meta", weights_only=True)
    except pickle.UnpicklingError:
        return _State.REFUSED if _begins_as_pickle(file) else _State.DAMAGED
    except (ValueError, SafetensorError, RuntimeError, EOFError, OSError):
        return _State.DAMAGED
    return _State.WELL


def _begins_as_pickle(file: Path) -> bool:
    """torch writes zip archives; before that it wrote pickles, which begin with a protocol number."""
    with file.open("rb") as stream:
        return stream.read(2).startswith((b"PK", b"\x80"))


def _files(folder: Path) -> dict[str, Path]:
    """The files that a loader may have read, by their names inside the folder; weights that it does read first."""
    suffixes = (".json", ".safetensors", ".bin", ".pt")
    files = [file for file in folder.rglob("*") if file.suffix in suffixes and file.is_file()]
    files.sort(key=lambda file: (not file.name.startswith(("model", "pytorch_model")), file))
    return {file.relative_to(folder).as_posix(): file for file in files}
