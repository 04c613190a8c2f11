"""`redrive completion`: real shells complete commands, options and values with the script that is printed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from redrive.cli import main
from redrive.cli.completion import SHELLS, script
from redrive.cli.program import _parser

CASES = [
    (["redrive", "li"], {"lint", "list"}, set()),
    (["redrive", "list", "--st"], {"--status", "--store"}, {"--reason"}),
    (["redrive", "list", "--status", "can"], {"cancelled", "cancelling"}, {"completed"}),
    (["redrive", "--log-level", "w"], {"warning"}, {"worker"}),
    (["redrive", "completion", "f"], {"fish"}, {"bash"}),
    (["redrive", "list", "--status", "failed", "--wor"], {"--workflow"}, {"worker"}),
]


def installed(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed (apt-get install {shell})")
    return found


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Path]:
    for shell in SHELLS:
        (tmp_path / f"redrive.{shell}").write_text(script(shell, _parser()))
    return {shell: tmp_path / f"redrive.{shell}" for shell in SHELLS}


@pytest.mark.parametrize(("words", "offered", "never"), CASES, ids=[" ".join(words) for words, *_ in CASES])
def test_bash_completes(words: list[str], offered: set[str], never: set[str], written: dict[str, Path]) -> None:
    quoted = " ".join(f"'{word}'" for word in words)
    asked = f'source "$1"; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _redrive; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run([installed("bash"), "-c", asked, "bash", str(written["bash"])], capture_output=True, text=True, check=True)
    found = set(done.stdout.split())
    assert done.stderr == ""
    assert offered <= found
    assert not found & never


@pytest.mark.parametrize(("words", "offered", "never"), CASES, ids=[" ".join(words) for words, *_ in CASES])
def test_fish_completes(words: list[str], offered: set[str], never: set[str], written: dict[str, Path]) -> None:
    asked = f"source {written['fish']}; complete -C '{' '.join(words)}'"
    done = subprocess.run([installed("fish"), "--no-config", "-c", asked], capture_output=True, text=True, check=True)
    found = {line.partition("\t")[0] for line in done.stdout.splitlines()}
    assert offered <= found
    assert not found & never


@pytest.mark.parametrize(("words", "offered", "never"), CASES, ids=[" ".join(words) for words, *_ in CASES])
def test_zsh_completes(words: list[str], offered: set[str], never: set[str], written: dict[str, Path], tmp_path: Path) -> None:
    """In an interactive shell on a terminal of its own, with the Tab key."""
    setup = tmp_path / "setup.zsh"
    setup.write_text(
        "PS1='ready> '; autoload -Uz compinit; compinit -u -D; zstyle ':completion:*' list-prompt ''; LISTMAX=1000\n"
        f"unsetopt menu_complete auto_menu; setopt auto_list; redrive() {{ : }}; source {written['zsh']}\n"
    )
    tabs = "\t" if len(offered) == 1 else "\t\t"  # the first one completes what all have in common
    shown = typed(installed("zsh"), setup, " ".join(words) + tabs)
    if len(offered) == 1:
        assert f"{' '.join(words[:-1])} {next(iter(offered))}" in shown
    else:
        assert all(word in shown for word in offered), shown
    assert not any(word in shown for word in never), shown


def typed(zsh: str, setup: Path, keys: str) -> str:
    """What an interactive zsh shows after *keys*."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(zsh, [zsh, "-f", "-i"], {"TERM": "dumb", "PATH": os.environ["PATH"], "HOME": str(setup.parent)})
    try:
        os.write(terminal, f"source {setup}\n".encode())
        read_until(terminal, "ready> ")
        os.write(terminal, keys.encode())
        return read_until(terminal, None)
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def read_until(terminal: int, text: str | None) -> str:
    """What is shown until *text* is, or until nothing has come for a while."""
    shown, until = "", time.monotonic() + 20
    while time.monotonic() < until and (text is None or text not in shown):
        ready, _, _ = select.select([terminal], [], [], 2.0 if text is None and shown.strip() else 10.0)
        if not ready:
            break
        shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_completed_in_every_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    parser = _parser()
    names = next(action.choices for action in parser._actions if action.dest == "==SUPPRESS==" or isinstance(action.choices, dict))
    assert names is not None
    assert [name for name in names if name not in text] == []


def test_a_shell_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["completion", "tcsh"])
    assert "bash" in capsys.readouterr().err
