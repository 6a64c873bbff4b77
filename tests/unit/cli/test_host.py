"""Commands about this host and this configuration."""

from __future__ import annotations

import json

import pytest

from natlb.cli import host
from natlb.control import supervisor
from natlb.errors import BusyError, DeniedError

GOOD = """\
services:
  web:
    listen: tcp://203.0.113.10:80
    backends: [10.77.0.11:8080, 10.77.0.12:8080]
"""
BAD = GOOD.replace("backends:", "polcy: round-robin\n    backends:")


@pytest.fixture
def files(folder, monkeypatch):
    """Stand in a folder with a good file and a bad one."""
    (folder / "natlb.yaml").write_text(GOOD)
    (folder / "bad.yaml").write_text(BAD)
    monkeypatch.chdir(folder)
    return folder


def test_a_good_configuration_is_said_to_be_good(command, files) -> None:
    """Silence is what HAProxy's users dislike; words are no data."""
    said = command("validate", "natlb.yaml")

    assert said == (0, "", "natlb.yaml: ok, 1 service, 2 backends\n")


def test_a_good_configuration_in_json(command, files) -> None:
    """For programs that check before they copy."""
    said = command("validate", "natlb.yaml", "--json")

    assert json.loads(said.out) == {"file": "natlb.yaml", "services": 1, "backends": 2}


def test_show_prints_every_default_and_validates_again(command, files) -> None:
    """What is printed is a configuration, and the same one."""
    shown = command("validate", "natlb.yaml", "--show").out
    (files / "shown.yaml").write_text(shown)

    assert "max_flows: 1048576" in shown
    assert command("validate", "shown.yaml", "--show").out == shown


def test_show_in_json_is_refused(command, files) -> None:
    """One of the two would be ignored."""
    assert command("validate", "natlb.yaml", "--show", "--json").code == 2


def test_a_bad_configuration_is_65_with_its_place(command, files) -> None:
    """File, line, column, what, and what was probably meant."""
    said = command("validate", "bad.yaml")

    assert said.code == 65
    assert said.out == ""
    assert said.err.startswith("error: bad.yaml:4:5: unknown key 'polcy'")
    assert "did you mean 'policy'?" in said.err
    assert "\n          |     ^" in said.err or "| " in said.err


def test_a_bad_configuration_in_json(command, files) -> None:
    """The same words in a document."""
    said = command("validate", "bad.yaml", "--json")

    assert said.code == 65
    assert json.loads(said.err)["error"]["code"] == "config"


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_a_file_that_cannot_be_read_is_65(command, files, name) -> None:
    """As the contract says: also an unreadable or missing file."""
    assert command("validate", name).code == 65


@pytest.fixture
def numba(monkeypatch) -> None:
    """Have Numba installed, for all that the command can see."""
    monkeypatch.setattr(host, "find_spec", lambda name: name)


@pytest.fixture
def ran(numba, monkeypatch) -> list:
    """Put a function in the place of the supervisor, and return what it was asked."""
    asked: list = []

    def run(path) -> int:
        asked.append(path)
        return 0

    monkeypatch.setattr(supervisor, "run", run)
    return asked


def test_run_is_the_supervisors(command, ran) -> None:
    """With the file as it was named."""
    assert command("run", "-c", "natlb.yaml").code == 0
    assert [str(path) for path in ran] == ["natlb.yaml"]


@pytest.mark.parametrize(("error", "code"), [(BusyError("b"), 75), (DeniedError("d"), 77)])
def test_run_ends_with_the_code_of_what_ended_it(command, numba, monkeypatch, error, code) -> None:
    """A unit's restart policy goes by it."""

    def run(_path) -> int:
        raise error

    monkeypatch.setattr(supervisor, "run", run)

    assert command("run", "-c", "natlb.yaml").code == code


def test_run_needs_a_file(command, ran) -> None:
    """There is no default that might be somebody else's."""
    said = command("run")

    assert said.code == 2
    assert "'-c' / '--config'" in said.err
    assert not ran


def test_run_without_numba_is_69_at_once(command, ran, monkeypatch) -> None:
    """Not after a worker has died three times."""
    monkeypatch.setattr(host, "find_spec", lambda _name: None)
    monkeypatch.delenv("NATLB_JIT", raising=False)
    said = command("run", "-c", "natlb.yaml")

    assert said.code == 69
    assert "fix: pip install numba" in said.err
    assert not ran


def test_run_without_numba_goes_on_where_nothing_is_compiled(command, ran, monkeypatch) -> None:
    """`NATLB_JIT=0` needs no compiler."""
    monkeypatch.setattr(host, "find_spec", lambda _name: None)
    monkeypatch.setenv("NATLB_JIT", "0")

    assert command("run", "-c", "natlb.yaml").code == 0
    assert ran
