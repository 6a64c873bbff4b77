"""The table of commands, and how little is loaded for each."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from natlb.cli.root import LATER, MODULES, natlb

HEAVY = {"numpy", "numba", "pydantic", "fastapi", "uvicorn", "pyroute2", "ruamel", "rich"}


def test_every_command_in_the_table_is_there() -> None:
    """A table that promises what does not load would fail at the user's."""
    context = click.Context(natlb)

    for name in MODULES:
        command = natlb.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str()


@pytest.mark.parametrize("name", MODULES)
def test_every_command_has_help(command, name) -> None:
    """`--help` works before anything else does, and says what it takes."""
    said = command(name, "--help")

    assert said.code == 0
    assert said.out.startswith(f"Usage: natlb {name}")


def test_the_help_lists_what_there_is_and_apart_what_is_to_come(command) -> None:
    """Nobody looks for `natlb top` in vain."""
    shown, _, later = command("--help").out.partition("Not in this version")

    assert all(f"\n  {name} " in shown for name in MODULES)
    assert set(later.replace(":", "").split()) == set(LATER)


def test_a_command_that_is_near_is_suggested(command) -> None:
    """One letter wrong is the usual mistake."""
    assert command("stauts").err.startswith(
        "error: no command 'stauts'; did you mean 'stats' or 'status'?"
    )
    assert command("xyz").err.startswith("error: no command 'xyz'\n")
    assert command("stauts").code == 2


def test_the_version_is_told(command) -> None:
    """As every command does."""
    from natlb import __version__

    assert command("--version").out == f"natlb {__version__}\n"


def loaded_by(served, *words: str) -> set[str]:
    """Return the top-level modules in a process that ran a command line."""
    code = (
        "import sys\nfrom natlb.cli import main\nmain(sys.argv[1:])\n"
        "print('LOADED', *{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--socket", served.path, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.partition("LOADED")[2].split())


@pytest.mark.parametrize(
    "words", [("status",), ("flows", "--json"), ("services",), ("drain", "web/be1"), ("--help",)]
)
def test_a_light_command_loads_nothing_heavy(served, words) -> None:
    """`natlb status` is typed again and again: it must answer at once."""
    assert not loaded_by(served, *words) & HEAVY


def test_python_dash_m_is_natlb(process) -> None:
    """A lab starts natlb by module, with the interpreter it runs in itself."""
    done = subprocess.run(
        [sys.executable, "-m", "natlb.cli", "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout == process("--version").out
