"""`redrive completion bash|zsh|fish`: a script by which the shell completes commands, options and their values.

It is made from the parser itself, so that no list is kept twice. The script opens no store and loads no app.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import attrs

from redrive.cli.cli_errors import DONE
from redrive.status import STATUSES

SHELLS: Final = ("bash", "zsh", "fish")
_VALUES: Final[Mapping[str, Sequence[str]]] = {"--status": tuple(STATUSES)}
"""The values of options whose parser does not know them."""
_EPILOG: Final = """\
bash:  redrive completion bash > ~/.local/share/bash-completion/completions/redrive
zsh:   redrive completion zsh > "${fpath[1]}/_redrive"
fish:  redrive completion fish > ~/.config/fish/completions/redrive.fish"""


@attrs.frozen
class Option:
    """An option: its *names*, its *help*, and the *values* it takes, as far as they are known; a *flag* takes none."""

    names: Sequence[str]
    help: str
    values: Sequence[str]
    flag: bool


@attrs.frozen
class Word:
    """A command, with its options, and the *values* of its first argument where they are known."""

    name: str
    help: str
    options: Sequence[Option]
    values: Sequence[str]


def add_completion(words: argparse._SubParsersAction[argparse.ArgumentParser], top: argparse.ArgumentParser) -> None:
    """*top* is the parser of the whole command line, complete by the time that the command runs."""
    completion = words.add_parser(
        "completion",
        help="a script that completes this command in your shell",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    completion.add_argument("shell", choices=SHELLS)

    async def complete(given: argparse.Namespace) -> int:
        print(script(given.shell, top), end="")
        return DONE

    completion.set_defaults(verb=complete)


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The script for *shell*, one of `SHELLS`."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](list(_words(parser)), list(_options(parser)))


def _words(parser: argparse.ArgumentParser) -> Iterator[Word]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            words = cast("dict[str, argparse.ArgumentParser]", action.choices)  # pyright: ignore[reportUnknownMemberType]
            for name, word in words.items():
                first = next((one for one in word._actions if not one.option_strings), None)
                choices: Iterable[Any] = () if first is None else first.choices or ()
                yield Word(name, helps.get(name, ""), list(_options(word)), list(map(str, choices)))


def _options(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for action in parser._actions:
        if action.option_strings and action.help != argparse.SUPPRESS:
            known = next((_VALUES[name] for name in action.option_strings if name in _VALUES), ())
            values = list(map(str, action.choices or known))
            yield Option(action.option_strings, (action.help or "").replace("%%", "%"), values, action.nargs == 0)


# ── bash ────────────────────────────────────────────────────────────────────────────────────────
def _bash(words: Sequence[Word], top: Sequence[Option]) -> str:
    names = [word.name for word in words]
    lines = [
        "# bash completion for redrive",
        "_redrive() {",
        '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" verb="" at',
        "    for ((at = 1; at < COMP_CWORD; at++)); do",
        f'        case "${{COMP_WORDS[at]}}" in {"|".join(names)}) verb="${{COMP_WORDS[at]}}"; break ;; esac',
        "    done",
        "    COMPREPLY=()",
        '    case "$verb $previous" in',
        *(f"        {pattern}) {_bash_reply(values)} ;;" for pattern, values in _bash_values(words, top)),
        "    esac",
        '    case "$verb" in',
        f'        "") {_bash_reply([*names, *_names(top)])} ;;',
        *(f"        {word.name}) {_bash_word(word)} ;;" for word in words),
        "    esac",
        "}",
        "complete -o default -F _redrive redrive",
    ]
    return "\n".join(lines) + "\n"


def _bash_values(words: Sequence[Word], top: Sequence[Option]) -> Iterator[tuple[str, Sequence[str]]]:
    for name, options in [("", top), *((word.name, word.options) for word in words)]:
        for option in options:
            for spelled in option.names if option.values else ():
                yield f'"{name} {spelled}"', option.values


def _bash_reply(values: Sequence[str]) -> str:
    return f'mapfile -t COMPREPLY < <(compgen -W {shlex.quote(" ".join(values))} -- "$current"); return'


def _bash_word(word: Word) -> str:
    options = f'if [[ "$current" == -* ]]; then {_bash_reply(_names(word.options))}; fi'
    return options + (f"; {_bash_reply(word.values)}" if word.values else "")


# ── zsh ─────────────────────────────────────────────────────────────────────────────────────────
def _zsh(words: Sequence[Word], top: Sequence[Option]) -> str:
    names = [word.name for word in words]
    lines = [
        "#compdef redrive",
        "_redrive() {",
        '    local verb="" at',
        "    local -a verbs options",
        "    for ((at = 2; at < CURRENT; at++)); do",
        f'        case "$words[at]" in ({"|".join(names)}) verb="$words[at]"; break ;; esac',
        "    done",
        '    case "$verb $words[CURRENT-1]" in',
        *(
            f"        ({pattern}) compadd -- {' '.join(map(shlex.quote, values))}; return ;;"
            for pattern, values in _bash_values(words, top)
        ),
        "    esac",
        '    case "$verb" in',
        f'        ("") options=({_described_options(top)}) ;;',
        *(f"        ({word.name}) options=({_described_options(word.options)}) ;;" for word in words),
        "    esac",
        '    if [[ "$words[CURRENT]" == -* ]]; then',
        "        _describe -o option options",
        '    elif [[ -z "$verb" ]]; then',
        f"        verbs=({' '.join(_described(word.name, word.help) for word in words)})",
        "        _describe command verbs",
        "    else",
        '        case "$verb" in',
        *(f"            ({word.name}) {_zsh_reply(word.values)} ;;" for word in words if word.values),
        "            (*) _files ;;",
        "        esac",
        "    fi",
        "}",
        'if [[ "$funcstack[1]" == _redrive ]]; then _redrive "$@"; else compdef _redrive redrive; fi',
    ]
    return "\n".join(lines) + "\n"


def _zsh_reply(values: Sequence[str]) -> str:
    return f"compadd -- {' '.join(map(shlex.quote, values))}"


def _described(name: str, help: str) -> str:
    return shlex.quote(f"{name}:{help.replace(':', chr(92) + ':')}")


def _described_options(options: Sequence[Option]) -> str:
    return " ".join(_described(name, option.help) for option in options for name in option.names)


# ── fish ────────────────────────────────────────────────────────────────────────────────────────
def _fish(words: Sequence[Word], top: Sequence[Option]) -> str:
    none = "not __fish_seen_subcommand_from " + " ".join(word.name for word in words)
    lines = ["# fish completion for redrive"]
    lines += [_fish_line(none, option) for option in top]
    for word in words:
        lines.append(f"complete -c redrive -f -n {shlex.quote(none)} -a {word.name} -d {_fish_text(word.help)}")
        seen = f"__fish_seen_subcommand_from {word.name}"
        lines += [_fish_line(seen, option) for option in word.options]
        if word.values:
            lines.append(f"complete -c redrive -f -n {shlex.quote(seen)} -a {_fish_text(' '.join(word.values))}")
    return "\n".join(lines) + "\n"


def _fish_line(condition: str, option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    takes = "" if option.flag else f" -x -a {_fish_text(' '.join(option.values))}" if option.values else " -r"
    return f"complete -c redrive -n {shlex.quote(condition)} {names}{takes} -d {_fish_text(option.help)}"


def _fish_text(text: str) -> str:
    """*text* in single quotes, in which fish reads a backslash."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _names(options: Sequence[Option]) -> list[str]:
    return [name for option in options for name in option.names]
