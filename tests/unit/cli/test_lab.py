"""`natlb lab`: words to calls, answers to words. What a lab is, is tested elsewhere."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

import natlb.lab
from natlb.errors import UnknownNameError
from natlb.lab.record import LabStatus

SOCKET = "/run/natlb/4026532222/natlb.sock"


@dataclass
class Made:
    """A lab as `up` returns it."""

    socket: str = SOCKET
    namespaces: dict[str, str] = field(
        default_factory=lambda: {"client": "lab-client", "lb": "lab-lb"}
    )


@pytest.fixture
def labs(monkeypatch) -> list[tuple[str, dict[str, Any]]]:
    """Put functions in the place of natlb.lab's, and return what they are asked."""
    asked: list[tuple[str, dict[str, Any]]] = []
    status = LabStatus(
        name="lab",
        topology="basic",
        state="up",
        natlb=12,
        backends=3,
        namespaces=["lab-client", "lab-lb"],
        socket=SOCKET,
    )
    answers = {
        "up": Made(),
        "down": ["lab-client", "lab-lb"],
        "ls": [status],
        "run_in": 3,
        "demo": 1,
    }

    def answer(name: str) -> Any:
        def call(**given: Any) -> Any:
            say = given.pop("say", None)
            asked.append((name, given))
            if say:
                say(f"{name} is done")
            return answers[name]

        return call

    for name in answers:
        monkeypatch.setattr(natlb.lab, name, answer(name))
    return asked


def test_up_prints_the_socket_and_nothing_else_as_data(command, labs) -> None:
    """`natlb --socket $(natlb lab up) status` works."""
    said = command("lab", "up")

    assert said.code == 0
    assert said.out == f"{SOCKET}\n"
    assert said.err == "up is done\nlab lab is up: lab-client, lab-lb\n"
    assert labs == [("up", {"name": "lab", "topology": "basic", "driver": "auto"})]


def test_up_takes_a_name_a_topology_and_a_driver(command, labs) -> None:
    """A second lab beside the first."""
    command("lab", "up", "mine", "--topology", "two-sides", "--driver", "packet")

    assert labs == [("up", {"name": "mine", "topology": "two-sides", "driver": "packet"})]


def test_up_in_json_is_the_lab_as_ls_lists_it(command, labs) -> None:
    """One shape for one thing."""
    assert json.loads(command("lab", "up", "--json").out) == lab_in(command)


def lab_in(command) -> dict:
    """Return the lab as `ls` has it."""
    return json.loads(command("lab", "ls", "--json").out)[0]


def test_ls_lists_each_lab_with_its_socket(command, labs) -> None:
    """What one types next needs it."""
    head, line = command("lab", "ls").out.splitlines()

    assert head.split() == ["Lab", "Topology", "State", "natlb", "Backends", "Socket"]
    assert line.split() == ["lab", "basic", "up", "12", "3", SOCKET]
    assert lab_in(command)["natlb"] == 12


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ((), {"name": "lab", "all_": False}),
        (("mine",), {"name": "mine", "all_": False}),
        (("--all",), {"name": "lab", "all_": True}),
    ],
)
def test_down_takes_one_or_all(command, labs, words, given) -> None:
    """And says on standard error what was removed."""
    said = command("lab", "down", *words)

    assert (said.code, said.out, said.err) == (0, "", "down is done\n")
    assert labs == [("down", given)]


def test_down_in_json_names_what_was_removed(command, labs) -> None:
    """For a script that counts."""
    removed = json.loads(command("lab", "down", "--json").out)

    assert removed == {"removed": ["lab-client", "lab-lb"]}


def test_down_of_one_and_of_all_is_usage(command, labs) -> None:
    """It would be anybody's guess."""
    assert command("lab", "down", "mine", "--all").code == 2
    assert not labs


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("client", "--", "ls", "--json", "--", "-l"), ("lab", "client", "ls --json -- -l")),
        (("mine", "b1", "--", "ip", "-j", "addr"), ("mine", "b1", "ip -j addr")),
    ],
)
def test_exec_runs_the_command_as_it_is_and_takes_its_exit_code(
    command, labs, words, given
) -> None:
    """What follows `--` is not natlb's to read."""
    said = command("lab", "exec", *words)
    ((name, asked),) = labs

    assert said.code == 3
    assert (name, asked["name"], asked["host"], " ".join(asked["command"])) == ("run_in", *given)


@pytest.mark.parametrize(
    "words", [(), ("client",), ("client", "--"), ("client", "ls"), ("a", "b", "c", "--", "ls")]
)
def test_exec_needs_a_host_and_a_command(command, labs, words) -> None:
    """Usage, before anything is entered."""
    assert command("lab", "exec", *words).code == 2
    assert not labs


def test_demo_is_the_labs_own_and_so_is_its_exit_code(command, labs) -> None:
    """1 after an error that the client saw."""
    assert command("lab", "demo", "--json", "--count", "10").code == 1
    assert labs == [("demo", {"topology": "basic", "driver": "auto", "count": 10, "json_": True})]


def test_a_lab_that_is_not_there_is_64(command, monkeypatch) -> None:
    """As a service or a backend that is not there."""

    def down(**_given: Any) -> None:
        raise UnknownNameError("no lab 'mine'; there is lab")

    monkeypatch.setattr(natlb.lab, "down", down)

    assert command("lab", "down", "mine").code == 64
