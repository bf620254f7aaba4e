"""Starts ``python -m qda_worker.probe KEY``: a model is loaded in a process that may crash, hang or take all memory.

The child is told to stay offline, and gets nothing of the cache onto its ``sys.path``.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model_cache.catalogs.answers import Kind, Question
from model_cache.catalogs.catalog import Model
from model_cache.checking.load import Probe, Probed
from model_cache.errors import ModelCacheError, UsageError
from model_cache.places import Places
from model_cache.reasons import Reason

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_LAST_WORDS = 400
_PROBE = "qda_worker.probe"


def probe_in_child(
    catalog: Path | None,
    places: Places,
    environ: Mapping[str, str],
    timeout: float,
    command: Sequence[str] = (sys.executable, "-m", _PROBE),
) -> Probe:
    """Return a probe that starts a child for each model.

    Args:
        catalog: its file; None: the built-in one.
        places: of the cache.
        environ: this program's; the child's is made from it.
        timeout: seconds for loading and answering, of each model.
        command: what starts a probe.
    """
    arguments = ["--cache", places.label, *(["--catalog", str(catalog)] if catalog is not None else [])]
    child_environ = {**environ, **OFFLINE, "PYTHONPATH": _outside(environ.get("PYTHONPATH", ""), places)}

    def probe(model: Model, questions: Sequence[Question]) -> Probed:
        try:
            ended = subprocess.run(
                [*command, model.key, *arguments],
                input=json.dumps([question._asdict() for question in questions]).encode(),
                capture_output=True,
                env=child_environ,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            words = _last_words(error.stderr)
            raise _unusable(model, f"did not load and answer within {timeout:g} s{words}", _SLOW) from error
        return _read(model, ended)

    return probe


_SLOW = (
    "give it more time with --load-timeout, or see what it waits for; `cache-check --deep` reads its files"
)
_CRASHED = "see whether there is memory enough for it; then run `cache-check --deep`, which reads its files"


def _read(model: Model, ended: subprocess.CompletedProcess[bytes]) -> Probed:
    try:
        document: dict[str, Any] = json.loads(ended.stdout)
        if ended.returncode == 0:
            return Probed(
                tuple((_question(one), one["value"]) for one in document["answers"]), document["seconds"]
            )
        message, remedy, reason = document["message"], document["remedy"], Reason(document["reason"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(model, _how_it_ended(ended) + _last_words(ended.stderr), _CRASHED) from error
    if reason is Reason.USAGE:
        raise UsageError(f"--load: {message}", remedy)
    raise ModelCacheError(message, remedy, reason=Reason.MODEL_UNUSABLE)


def _question(one: dict[str, Any]) -> Question:
    return Question(Kind(one["kind"]), one["text"], one["other"])


def _how_it_ended(ended: subprocess.CompletedProcess[bytes]) -> str:
    code = ended.returncode
    if code >= 0:
        return f"the process that loaded it ended with status {code}"
    try:
        return f"the process that loaded it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"the process that loaded it was ended by signal {-code}"


def _last_words(stderr: bytes | None) -> str:
    lines = [line.strip() for line in (stderr or b"").decode("utf-8", "replace").splitlines() if line.strip()]
    return f"; its last words: {lines[-1][-_LAST_WORDS:]}" if lines else ""


def _unusable(model: Model, what: str, remedy: str) -> ModelCacheError:
    return ModelCacheError(f"model {model.key}: {what}", remedy, reason=Reason.MODEL_UNUSABLE)


def _outside(path: str, places: Places) -> str:
    """Return the entries of a ``PYTHONPATH`` that are not in the cache: a ``sitecustomize.py`` there would run."""
    roots = [os.path.realpath(place.path) for place in places.all()]
    entries = [entry for entry in path.split(os.pathsep) if entry]
    return os.pathsep.join(entry for entry in entries if not _is_below(os.path.realpath(entry), roots))


def _is_below(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(root + os.sep) for root in roots)
