"""`natlb top` as a command; the terminal itself is tested in tests/unit/tui."""

from __future__ import annotations

import builtins
from typing import Any

import pytest


def test_once_is_one_table_without_textual(command, served, monkeypatch) -> None:
    """For scripts, and for who has not installed it."""
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        assert not name.startswith("textual"), name
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    said = command("--socket", served.path, "top", "--once", "--interval", "0.01")

    assert said.code == 0
    assert said.out.startswith("ready, compiled, generation 2: 3 of 3 backends up")
    assert "\n  be1 " in said.out


def test_without_a_terminal_it_says_what_to_do(command, served) -> None:
    """Escape sequences in a file help nobody."""
    said = command("--socket", served.path, "top")

    assert said.code == 2
    assert said.err == "error: natlb top needs a terminal\nfix: natlb top --once\n"


@pytest.fixture
def terminal(monkeypatch) -> None:
    """Have standard output be a terminal."""
    monkeypatch.setattr("natlb.cli.top.is_terminal", lambda: True)


@pytest.mark.usefixtures("terminal")
def test_without_textual_it_says_what_to_install(command, monkeypatch) -> None:
    """As other parts that are not installed."""
    monkeypatch.setattr("natlb.cli.top.find_spec", lambda _: None)
    said = command("top")

    assert said.code == 69
    assert said.err.endswith("fix: pip install 'natlb[tui]'\n")


@pytest.mark.usefixtures("terminal")
def test_it_shows_the_instance_that_is_meant(command, monkeypatch) -> None:
    """By its socket, as often as asked."""
    from natlb.tui import app

    shown: list[tuple[str, float]] = []

    class Fake:
        def __init__(self, client: Any, interval: float) -> None:
            shown.append((client.path, interval))

        def run(self) -> None:
            """Leave at once."""

    monkeypatch.setattr(app, "Top", Fake)

    assert command("--socket", "/x/natlb.sock", "top", "--interval", "0.5").code == 0
    assert shown == [("/x/natlb.sock", 0.5)]
