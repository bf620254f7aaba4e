"""Why a prepared form was not made: a small file that one step of a Job leaves for the last one.

`qda-worker prepare --failure FILE` writes it, `cache-warmer publish --all DIR` reads all of them. So a model that fails
does not keep the forms of the others from being made and published, and the step that may write Events names the
reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model_cache.catalog.catalog import Precision
from model_cache.errors import ModelCacheError
from model_cache.file_io import read_small_file, replacement
from model_cache.json_values import json_text, parse_json_object, to_json_text
from model_cache.reasons import Reason

# How the names of such files end.
FAILURE_SUFFIX: Final = ".failure.json"
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FormFailure:
    """Why a form was not made. The fields are those of the JSON object.

    Attributes:
        model: key of the model.
        precision: of the form.
        reason, message, remedy: of the error.
    """

    model: str
    precision: Precision
    reason: Reason
    message: str
    remedy: str


def write_failure(path: Path, failure: FormFailure) -> None:
    """Write a failure. Raises `OSError`."""
    with replacement(path) as file:
        file.write(f"{to_json_text(failure)}\n".encode())


def read_failures(folder: Path) -> tuple[FormFailure, ...]:
    """Return the failures in a folder, by file name.

    Raises:
        OSError: the folder or a file cannot be read.
        ValueError: a file is not what `write_failure` wrote.
    """
    paths = sorted(
        path for path in folder.iterdir() if path.name.endswith(FAILURE_SUFFIX) and not path.is_dir()
    )
    return tuple(_parse(read_small_file(path, _MAX_BYTES), path.name) for path in paths)


def error_of(failures: Sequence[FormFailure]) -> ModelCacheError:
    """Return one error for at least one failure, with the reason and the remedy of the first."""
    first = failures[0]
    parts = [f"no prepared form in {each.precision} of {each.model}: {each.message}" for each in failures]
    return ModelCacheError("; ".join(parts), first.remedy, reason=first.reason)


def _parse(content: bytes, name: str) -> FormFailure:
    try:
        document: dict[str, Any] = parse_json_object(content)
        return FormFailure(
            json_text(document["model"]),
            Precision(json_text(document["precision"])),
            Reason(json_text(document["reason"])),
            json_text(document["message"]),
            json_text(document["remedy"]),
        )
    except KeyError as error:
        raise ValueError(f"{name}: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
