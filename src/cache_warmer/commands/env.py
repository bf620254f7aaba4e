"""The variables under which other programs find the cache, for a shell, a compose file or a dotenv file.

A cache of our own is named whole, and offline: whoever reads it shall not write to it. On a host the
libraries look there by themselves, so only what differs from their defaults is said, and the one line for
spaCy, which looks nowhere by itself.

That line, for a shell on a host, puts a `.pth` file into the environment of the Python that runs it: a variable would
have to be set in each shell and service anew, and each other Python that they start would inherit it.
"""

import json
import os
import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from model_cache.places import HOST, Place, Places

_BY_DEFAULT: Final = "default"
# In an environment's site-packages; delete it to undo.
PTH_FILE: Final = "qda-spacy-models.pth"


class EnvFormat(StrEnum):
    """How the variables are written."""

    SHELL = "shell"
    COMPOSE = "compose"
    DOTENV = "dotenv"
    JSON = "json"


def variables(places: Places) -> dict[str, str]:
    """Return the variables and their values, in the order to show them."""
    whole = places.label != HOST
    named: dict[str, str] = {}
    if whole or _differs(places.hub):
        hub = str(places.hub.path)
        named["HF_HUB_CACHE"] = hub
        if whole:  # older clients read the other two; transformers 5 ignores the last
            named |= {"HUGGINGFACE_HUB_CACHE": hub, "TRANSFORMERS_CACHE": hub}
    if whole or _differs(places.torch):
        named["TORCH_HOME"] = str(places.torch.path)
    if whole:
        named["HF_HUB_OFFLINE"] = "1"
    named["PYTHONPATH"] = str(places.spacy.path)
    return named


def pth_command(spacy: Path) -> str:
    """Return the shell command that lets one Python import the packages of that folder from now on.

    In a virtual environment it writes into that alone, elsewhere into the user's own packages: never into a system's.
    The file holds the folder's path, which Python puts at the end of its own (so nothing of the project is hidden).
    """
    # JSON strings are Python strings, and their quotes agree with the shell's
    where = json.dumps(str(spacy), ensure_ascii=False)
    program = (
        "import os, site, sys; "
        "folder = site.getsitepackages()[0] if sys.prefix != sys.base_prefix else site.getusersitepackages(); "
        "os.makedirs(folder, exist_ok=True); "
        f'open(os.path.join(folder, "{PTH_FILE}"), "w").write({where} + chr(10))'
    )
    return f"python -c {shlex.quote(program)}"


def shell_lines(named: Mapping[str, str], places: Places) -> str:
    """Return what a shell evaluates, or a person copies: the variables, and on a host the line for spaCy."""
    if places.label != HOST:
        return written(named, EnvFormat.SHELL)
    exported = {name: value for name, value in named.items() if name != "PYTHONPATH"}
    comment = "# spaCy looks among installed packages only; once for each environment that has spaCy, with its Python:"
    return "\n".join([written(exported, EnvFormat.SHELL), comment, pth_command(places.spacy.path)])


def written(named: Mapping[str, str], form: EnvFormat) -> str:
    """Return the variables as text, without a line break at the end."""
    if form is EnvFormat.JSON:
        return json.dumps(dict(named), indent=2, ensure_ascii=False)
    if form is EnvFormat.COMPOSE:
        # JSON strings are YAML strings; compose reads $ as its own variables
        lines = [f"  {name}: {json.dumps(value.replace('$', '$$'))}" for name, value in named.items()]
        return "\n".join(["environment:", *lines])
    if form is EnvFormat.DOTENV:
        return "\n".join(f"{name}={_dotenv(value)}" for name, value in named.items())
    # a second cache under this name would be looked at first
    return "\n".join(
        [*(_export(name, value) for name, value in named.items()), "unset SENTENCE_TRANSFORMERS_HOME"]
    )


def _export(name: str, value: str) -> str:
    if name == "PYTHONPATH":  # joined to what the user has
        return f"export PYTHONPATH={shlex.quote(value)}${{PYTHONPATH:+{os.pathsep}$PYTHONPATH}}"
    return f"export {name}={shlex.quote(value)}"


def _dotenv(value: str) -> str:
    plain = value.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum()
    return value if plain else "'" + value.replace("'", "\\'") + "'"


def _differs(place: Place) -> bool:
    return place.chosen_by != _BY_DEFAULT
