"""The environment variables with which other programs find the cache, in each format."""

import json
import subprocess
import sys
from pathlib import Path

from cache_warmer.commands.env import EnvFormat, format_variables, pth_command, variables
from model_cache.places import resolve_places


def test_a_cache_folder_has_all_variables_and_offline_mode(tmp_path: Path) -> None:
    named = variables(resolve_places(str(tmp_path), {}, tmp_path))

    hub = str(tmp_path / "huggingface/hub")
    assert named == {
        "HF_HUB_CACHE": hub,
        "HUGGINGFACE_HUB_CACHE": hub,
        "TRANSFORMERS_CACHE": hub,
        "TORCH_HOME": str(tmp_path / "torch"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(tmp_path / "spacy"),
    }


def test_on_a_host_only_places_off_the_defaults_are_named(tmp_path: Path) -> None:
    plain = variables(resolve_places("host", {}, tmp_path))
    moved = variables(resolve_places("host", {"HF_HOME": "/data/hf"}, tmp_path))

    assert plain == {"PYTHONPATH": str(tmp_path / ".local/share/spacy")}
    assert moved == {"HF_HUB_CACHE": "/data/hf/hub", **plain}


def test_a_shell_evaluates_the_variables(tmp_path: Path) -> None:
    strange = tmp_path / "it's a $HOME folder"
    text = format_variables(variables(resolve_places(str(strange), {}, tmp_path)), EnvFormat.SHELL)
    script = f'{text}\nprintf \'%s|%s\' "$HF_HUB_CACHE" "$PYTHONPATH"'

    ended = subprocess.run(
        ["sh", "-c", script], env={"PYTHONPATH": "/mine"}, capture_output=True, text=True, check=True
    )

    assert (
        ended.stdout
        == f"{variables(resolve_places(str(strange), {}, tmp_path))['HF_HUB_CACHE']}|{strange}/spacy:/mine"
    )


def test_compose_json_and_dotenv_have_the_same_variables(tmp_path: Path) -> None:
    import yaml

    named = variables(resolve_places(str(tmp_path / "a b"), {}, tmp_path))

    assert yaml.safe_load(format_variables(named, EnvFormat.COMPOSE)) == {"environment": named}
    assert json.loads(format_variables(named, EnvFormat.JSON)) == named
    assert f"PYTHONPATH='{tmp_path}/a b/spacy'" in format_variables(named, EnvFormat.DOTENV)


def test_powershell_gets_assignments_whose_quotes_are_doubled() -> None:
    places = resolve_places(r"C:\it's $HOME", {}, Path(r"C:\Users\me"), "win32")
    lines = format_variables(variables(places), EnvFormat.POWERSHELL).splitlines()

    assert r"$env:HF_HUB_CACHE = 'C:\it''s $HOME\huggingface\hub'" in lines
    assert r"$env:HF_HUB_OFFLINE = '1'" in lines
    (path,) = (line for line in lines if line.startswith("$env:PYTHONPATH"))
    assert path.startswith(r"$env:PYTHONPATH = 'C:\it''s $HOME\spacy' + $(if ($env:PYTHONPATH)")
    assert lines[-1].startswith(r"Remove-Item Env:\SENTENCE_TRANSFORMERS_HOME")


def test_powershell_gets_the_command_for_spacy_without_double_quotes_inside(tmp_path: Path) -> None:
    spacy = r"C:\Users\O'Neil\$data`x\spacy"
    command = pth_command(Path(spacy), EnvFormat.POWERSHELL)

    prefix, program, rest = command.split('"')
    assert (prefix, rest) == ("python -c ", "")
    plain = program.replace("`$", "$").replace("``", "`")  # as PowerShell reads double quotes
    script = (
        f"import site, sys\nsys.prefix = '/env'\nsite.getsitepackages = lambda: [{str(tmp_path)!r}]\n{plain}"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert (tmp_path / "qda-spacy-models.pth").read_text("utf-8") == f"{spacy}\n"
