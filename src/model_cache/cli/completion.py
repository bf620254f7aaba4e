"""Scripts with which bash, zsh and fish complete the commands, options and values of a program.

They are made from the program's parser, so that they know what it knows, and run nothing of it: completing a word costs
no start of Python. What a value is follows from its choices, or from its name in the help: `table|json` are the words,
FILE is a file and DIR a folder.
"""

import argparse
import re
import shlex
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

_FILES: Final = ("FILE", "OTHERS", "RESULTS", "ARCHIVE")
_FOLDERS: Final = ("DIR", "FOLDER")
# A name of a value that lists the values.
_LISTED: Final = re.compile(r"[\w.-]+(?:\|[\w.-]+)+")


class Shell(StrEnum):
    """A shell that completes what is typed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


class _Value(NamedTuple):
    """What may follow an option, or stand in a place without one.

    Attributes:
        name: as in the help.
        words: the possible values, if they are known.
        is_file: whether it is a file.
        is_folder: whether it is a folder.
    """

    name: str
    words: tuple[str, ...] = ()
    is_file: bool = False
    is_folder: bool = False


class _Option(NamedTuple):
    flags: tuple[str, ...]
    help: str
    value: _Value | None
    repeats: bool


class _Command(NamedTuple):
    """A command, or the program itself with the name ""."""

    name: str
    help: str
    options: tuple[_Option, ...]
    places: tuple[_Value, ...]


def completion_script(parser: argparse.ArgumentParser, shell: Shell) -> str:
    """Return the script for a shell, which the shell reads once.

    Args:
        parser: that of the program, with its commands.
        shell: the shell.
    """
    commands = list(_commands(parser))
    return _WRITERS[shell](parser.prog, commands)


def _commands(parser: argparse.ArgumentParser) -> Iterator[_Command]:
    """Yield the program itself and its commands."""
    below = next((each for each in parser._actions if isinstance(each, argparse._SubParsersAction)), None)  # noqa: SLF001  # argparse has no public list
    yield _command("", "", parser)
    if below is not None:
        helps = {each.dest: each.help or "" for each in below._choices_actions}  # noqa: SLF001  # the same
        for name, each in below.choices.items():
            yield _command(name, helps.get(name, ""), each)


def _command(name: str, help: str, parser: argparse.ArgumentParser) -> _Command:
    actions = [
        each
        for each in parser._actions  # noqa: SLF001  # argparse has no public list
        if each.help != argparse.SUPPRESS and not isinstance(each, argparse._SubParsersAction)  # noqa: SLF001
    ]
    return _Command(
        name,
        help,
        tuple(
            _Option(
                tuple(each.option_strings),
                _first_part(each.help or ""),
                None if each.nargs == 0 else _value(each),
                isinstance(each, argparse._AppendAction),  # noqa: SLF001  # the same
            )
            for each in actions
            if each.option_strings
        ),
        tuple(_value(each) for each in actions if not each.option_strings),
    )


def _value(action: argparse.Action) -> _Value:
    metavar = action.metavar
    name = metavar if isinstance(metavar, str) else action.dest.upper()
    if action.choices is not None:
        return _Value(name, tuple(map(str, action.choices)))
    if _LISTED.fullmatch(name):
        return _Value(name, tuple(name.split("|")))
    return _Value(name, (), name in _FILES, name in _FOLDERS)


def _first_part(help: str) -> str:
    """Return what an option does, without its default and details: a shell shows it on one line."""
    return re.split(r"; |: | \(", help, maxsplit=1)[0].replace("\n", " ")


def _function_name(program: str) -> str:
    return "_" + program.replace("-", "_")


# --- bash -------------------------------------------------------------------------------------------------------------

_BASH: Final = """\
# Completion of {program} for bash. Written by: {program} {how} bash
{function}() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command="" options="" at
    # bash splits --option=value into three words.
    if [[ $word == "=" ]]; then
        word=""
    elif [[ $before == "=" ]]; then
        before="${{COMP_WORDS[COMP_CWORD-2]}}"
    fi
    for ((at = 1; at < COMP_CWORD; at++)); do
        case "${{COMP_WORDS[at]}}" in
            {names}) command="${{COMP_WORDS[at]}}"; break ;;
        esac
    done
    COMPREPLY=()
    case "$command $before" in
{values}
    esac
    case "$command" in
{options}
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
        return
    fi
    case "$command" in
{places}
    esac
}}
complete -o default -F {function} {program}
"""
# What completes a value, after `COMPREPLY=()`: the default of readline, which is files, or something else.
_BASH_FOLDERS: Final = "compopt -o dirnames +o default 2>/dev/null"
_BASH_NOTHING: Final = "compopt +o default 2>/dev/null"


def _bash(program: str, commands: Sequence[_Command]) -> str:
    values = [
        f"        {'|'.join(shlex.quote(f'{command.name} {flag}') for flag in option.flags)}) "
        f"{_bash_value(option.value)}; return ;;"
        for command in commands
        for option in command.options
        if option.value is not None
    ]
    options = [
        f"        {shlex.quote(command.name)}) options={shlex.quote(' '.join(_flags(command)))} ;;"
        for command in commands
    ]
    places = [
        f"        {shlex.quote(command.name)}) {_bash_value(command.places[-1])} ;;"
        if command.places
        else f"        {shlex.quote(command.name)}) {_bash_nothing_or_commands(command, commands)} ;;"
        for command in commands
    ]
    names = "|".join(shlex.quote(each.name) for each in commands[1:]) or "''"
    return _BASH.format(
        program=program,
        how=_how(commands),
        function=_function_name(program),
        names=names,
        values="\n".join(values),
        options="\n".join(options),
        places="\n".join(places),
    )


def _bash_nothing_or_commands(command: _Command, commands: Sequence[_Command]) -> str:
    names = tuple(each.name for each in commands[1:])
    return _bash_value(_Value("COMMAND", names if command.name == "" else ()))


def _bash_value(value: _Value) -> str:
    if value.words:
        return f'{_BASH_NOTHING}; COMPREPLY=($(compgen -W {shlex.quote(" ".join(value.words))} -- "$word"))'
    if value.is_folder:
        return _BASH_FOLDERS
    return ":" if value.is_file else _BASH_NOTHING


# --- zsh --------------------------------------------------------------------------------------------------------------

_ZSH: Final = """\
#compdef {program}
# Completion of {program} for zsh. Written by: {program} {how} zsh
{function}() {{
    local curcontext="$curcontext" state line
    typeset -A opt_args
{body}
}}
# It is either autoloaded from a folder of $fpath, or evaluated.
if [[ $funcstack[1] == {function} ]]; then
    {function} "$@"
else
    compdef {function} {program}
fi
"""


def _zsh(program: str, commands: Sequence[_Command]) -> str:
    top, *others = commands
    if not others:
        body = _zsh_arguments(top, "    ")
    else:
        names = " ".join(f'{each.name}\\:"{_zsh_text(each.help)}"' for each in others)
        cases = "\n".join(
            f"            {each.name})\n{_zsh_arguments(each, '                ')} ;;" for each in others
        )
        body = (
            f"{_zsh_arguments(top, '    ', '-C', f'1:command:(({names}))', '*::argument:->arguments')}\n"
            f"    case $state in arguments)\n        case $line[1] in\n{cases}\n        esac\n    esac"
        )
    return _ZSH.format(program=program, how=_how(commands), function=_function_name(program), body=body)


def _zsh_arguments(command: _Command, indent: str, *more: str) -> str:
    """Return a call of `_arguments`, which has an argument for each option."""
    specs = [spec for spec in more if spec.startswith("-")]
    for option in command.options:
        value = "" if option.value is None else _zsh_value(option.value)
        once = "*" if option.repeats else ""
        for flag in option.flags:
            with_equals = "=" if value and flag.startswith("--") else ""
            specs.append(f"{once}{flag}{with_equals}[{_zsh_text(option.help)}]{value}")
    specs += [f"{'*' if place is command.places[-1] else ''}{_zsh_value(place)}" for place in command.places]
    specs += [spec for spec in more if not spec.startswith("-")]
    separator = f" \\\n{indent}    "
    return f"{indent}_arguments{separator}{separator.join(_zsh_quote(each) for each in specs)}"


def _zsh_value(value: _Value) -> str:
    if value.words:
        action = f"({' '.join(value.words)})"
    else:
        action = "_files" if value.is_file else "_files -/" if value.is_folder else " "
    return f":{_zsh_text(value.name)}:{action}"


def _zsh_text(text: str) -> str:
    """Return a text in which the characters that `_arguments` reads are escaped."""
    return re.sub(r'([\\\[\]:"`$])', r"\\\1", text)


def _zsh_quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish -------------------------------------------------------------------------------------------------------------


def _fish(program: str, commands: Sequence[_Command]) -> str:
    top, *others = commands
    lines = [
        f"# Completion of {program} for fish. Written by: {program} {_how(commands)} fish",
        f"complete -c {program} -f",
    ]
    no_command = ["-n", "__fish_use_subcommand"] if others else []
    lines += _fish_lines(program, top, no_command)
    for each in others:
        lines.append(_fish_line(program, *no_command, "-a", each.name, "-d", each.help))
    for each in others:
        lines += _fish_lines(program, each, ["-n", f"__fish_seen_subcommand_from {each.name}"])
    return "\n".join(lines) + "\n"


def _fish_lines(program: str, command: _Command, condition: Sequence[str]) -> Iterator[str]:
    for option in command.options:
        flags = [part for flag in option.flags for part in _fish_flag(flag)]
        value = [] if option.value is None else _fish_value(option.value)
        yield _fish_line(program, *condition, *flags, *value, "-d", option.help)
    for place in command.places[-1:]:
        if place.words or place.is_file or place.is_folder:
            yield _fish_line(
                program, *condition, *_fish_value(place)[1:]
            )  # without that an option has a value


def _fish_flag(flag: str) -> tuple[str, str]:
    return ("-l", flag[2:]) if flag.startswith("--") else ("-s", flag[1:])


def _fish_value(value: _Value) -> list[str]:
    if value.words:
        return ["-x", "-a", " ".join(value.words)]
    if value.is_folder:
        return ["-x", "-a", "(__fish_complete_directories)"]
    return ["-r", "-F"] if value.is_file else ["-x"]


def _fish_line(program: str, *parts: str) -> str:
    return " ".join(["complete", "-c", program, *map(_fish_quote, parts)])


def _fish_quote(text: str) -> str:
    if re.fullmatch(r"[\w-]+", text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_WRITERS: Final = {Shell.BASH: _bash, Shell.ZSH: _zsh, Shell.FISH: _fish}


def _flags(command: _Command) -> list[str]:
    return [flag for option in command.options for flag in option.flags]


def _how(commands: Sequence[_Command]) -> str:
    return "completion" if len(commands) > 1 else "--completion"
