"""`cache-warmer env`: print the environment variables with which other programs find the cache.

For a cache folder (`--cache DIR`) all variables are printed, and those that switch the libraries to offline mode, so
that they do not write to it. On a host the libraries look in the global caches by themselves, so only places that
differ from the defaults are printed.

spaCy finds packages only where Python imports from. For a shell on a host the output therefore contains a command that
puts a `.pth` file into the environment of the Python that runs it. A `PYTHONPATH` would have to be set in each shell
and service, and every other Python that these start would inherit it.
"""

import os
import shlex
from collections.abc import Mapping
from enum import StrEnum
from json import dumps
from pathlib import Path
from typing import Final

from cache_warmer.commands.command import Invocation
from model_cache.cli.options import CACHE, Option, find_places, one_of
from model_cache.json_values import to_json_text
from model_cache.places import HOST, Place, Places

_BY_DEFAULT: Final = "default"
# Name of the file in the site-packages of an environment; deleting it undoes the command.
PTH_FILE: Final = "qda-spacy-models.pth"


class EnvFormat(StrEnum):
    """The format of the output."""

    SHELL = "shell"
    COMPOSE = "compose"
    DOTENV = "dotenv"
    JSON = "json"
    POWERSHELL = "powershell"


ENV_FORMAT: Final = Option(
    "--format",
    "QDA_ENV_FORMAT",
    one_of(EnvFormat),
    EnvFormat.SHELL,
    "shell|compose|dotenv|json|powershell",
    "format of the output",
)


def run_env(invocation: Invocation) -> int:
    """Print the variables and return the exit code.

    Raises:
        UsageError: this user has no home folder, and the place of the cache depends on it.
    """
    places = find_places(invocation.value(CACHE), invocation.environ)
    form: EnvFormat = invocation.value(ENV_FORMAT)
    found = variables(places)
    is_shell = form in (EnvFormat.SHELL, EnvFormat.POWERSHELL)
    text = shell_lines(found, places, form) if is_shell else format_variables(found, form)
    print(text, file=invocation.out)
    return 0


def variables(places: Places) -> dict[str, str]:
    """Return the variables and their values, in the order to print them."""
    is_folder = places.label != HOST
    found: dict[str, str] = {}
    if is_folder or _differs(places.hub):
        hub = str(places.hub.path)
        found["HF_HUB_CACHE"] = hub
        if is_folder:  # older clients read the other two; transformers 5 ignores the last
            found |= {"HUGGINGFACE_HUB_CACHE": hub, "TRANSFORMERS_CACHE": hub}
    if is_folder or _differs(places.torch):
        found["TORCH_HOME"] = str(places.torch.path)
    if is_folder:
        found["HF_HUB_OFFLINE"] = "1"
    found["PYTHONPATH"] = str(places.spacy.path)
    return found


def shell_lines(named: Mapping[str, str], places: Places, form: EnvFormat = EnvFormat.SHELL) -> str:
    """Return lines for a shell: the variables, and on a host the command for spaCy instead of `PYTHONPATH`."""
    if places.label != HOST:
        return format_variables(named, form)
    exported = {name: value for name, value in named.items() if name != "PYTHONPATH"}
    comment = "# spaCy finds installed packages only; run this once with the Python of each environment that has spaCy:"
    return "\n".join([format_variables(exported, form), comment, pth_command(places.spacy.path, form)])


def pth_command(spacy: Path, form: EnvFormat = EnvFormat.SHELL) -> str:
    """Return the shell command after which one Python imports the packages of that folder.

    In a virtual environment it writes into that environment only, elsewhere into the packages of the user, never into
    those of the system. Python appends the folder that the file names to its path, so that it hides no module of the
    project.
    """
    # JSON strings are valid Python strings, and their double quotes need no escape inside the shell's single quotes.
    where = dumps(str(spacy), ensure_ascii=False)
    program = (
        "import os, site, sys; "
        "folder = site.getsitepackages()[0] if sys.prefix != sys.base_prefix else site.getusersitepackages(); "
        "os.makedirs(folder, exist_ok=True); "
        f'open(os.path.join(folder, "{PTH_FILE}"), "w").write({where} + chr(10))'
    )
    if form is EnvFormat.POWERSHELL:
        # Windows PowerShell drops double quotes inside an argument; no path of Windows has one.
        name = str(spacy).replace("\\", "\\\\").replace("'", "\\'")
        program = program.replace(where, f"'{name}'").replace('"', "'").replace("`", "``").replace("$", "`$")
        return f'python -c "{program}"'
    return f"python -c {shlex.quote(program)}"


def format_variables(named: Mapping[str, str], form: EnvFormat) -> str:
    """Return the variables as text, without a line break at the end."""
    if form is EnvFormat.JSON:
        return to_json_text(named)
    if form is EnvFormat.COMPOSE:
        # JSON strings are valid YAML strings; compose substitutes $ unless it is doubled.
        lines = [f"  {name}: {dumps(value.replace('$', '$$'))}" for name, value in named.items()]
        return "\n".join(["environment:", *lines])
    if form is EnvFormat.DOTENV:
        return "\n".join(f"{name}={_dotenv(value)}" for name, value in named.items())
    if form is EnvFormat.POWERSHELL:
        lines = [_assignment(name, value) for name, value in named.items()]
        return "\n".join(
            [*lines, r"Remove-Item Env:\SENTENCE_TRANSFORMERS_HOME -ErrorAction SilentlyContinue"]
        )
    # sentence-transformers would look into the folder of this variable before the hub's cache.
    return "\n".join(
        [*(_export(name, value) for name, value in named.items()), "unset SENTENCE_TRANSFORMERS_HOME"]
    )


def _export(name: str, value: str) -> str:
    if name == "PYTHONPATH":  # keep what the user has
        return f"export PYTHONPATH={shlex.quote(value)}${{PYTHONPATH:+{os.pathsep}$PYTHONPATH}}"
    return f"export {name}={shlex.quote(value)}"


def _assignment(name: str, value: str) -> str:
    """Return an assignment of PowerShell, in whose single quotes nothing but the quote itself has a meaning."""
    text = "'" + value.replace("'", "''") + "'"
    if name == "PYTHONPATH":  # keep what the user has
        return f"$env:PYTHONPATH = {text} + $(if ($env:PYTHONPATH) {{ '{os.pathsep}' + $env:PYTHONPATH }})"
    return f"$env:{name} = {text}"


def _dotenv(value: str) -> str:
    plain = value.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum()
    return value if plain else "'" + value.replace("'", "\\'") + "'"


def _differs(place: Place) -> bool:
    return place.chosen_by != _BY_DEFAULT
