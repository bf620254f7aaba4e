"""Says what loaded models answered, and what that was compared with: as JSON, and as lines for people."""

import json

from model_cache.catalogs.answers import answer_to_json
from model_cache.checking.values import Compared, Loaded, ModelReport


def loaded_to_json(loaded: Loaded) -> dict[str, object]:
    """Return ``seconds`` and ``compared``: answers as in the lock, with what was ``said`` and the ``difference``."""
    compared = [
        {**answer_to_json(one.answer), "said": one.said, "difference": one.difference or None}
        for one in loaded.compared
    ]
    return {"seconds": loaded.seconds, "compared": compared}


def loaded_lines(model: ModelReport) -> list[str]:
    """Return a line for loading, and one for each answer that was compared."""
    if model.loaded is None:
        return []
    loaded = f"loaded: {model.key}: loaded and answered in {model.loaded.seconds:.1f} s"
    if not model.loaded.compared:
        return [f"{loaded}; compared with nothing: the lock has no answers of it (--record FILE writes them)"]
    count = len(model.loaded.compared)
    lines = [f"{loaded}; {count} {'answers' if count > 1 else 'answer'} compared"]
    return [*lines, *(f"  {_line(one)}" for one in model.loaded.compared)]


def _line(one: Compared) -> str:
    within = f" within {one.answer.tolerance:g}" if one.answer.tolerance else ""
    whose = f"published: {one.answer.source}" if one.answer.source else "recorded"
    said = json.dumps(one.said, ensure_ascii=False)
    return f"{one.answer.question}: {one.difference or f'{said}, as it should be{within}'} ({whose})"
