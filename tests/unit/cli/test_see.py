"""Commands that read."""

from __future__ import annotations

import json

import pytest

from natlb.cli.see import Rates
from natlb.client import Client
from natlb.model import to_json


@pytest.mark.parametrize("name", ["status", "services", "backends", "flows", "stats"])
def test_json_is_one_document_as_the_api_gives_it(command, served, name) -> None:
    """An array for lists, an object otherwise; the same fields in the same order everywhere."""
    said = command(name, "--json")
    document = Client(served.path)._get(f"/v1/{name}")

    assert said.code == 0
    assert said.err == ""
    assert said.out == json.dumps(document) + "\n"


@pytest.mark.parametrize("name", ["status", "services", "backends", "flows", "stats"])
def test_without_json_it_is_text_and_not_a_word_on_standard_error(command, name) -> None:
    """Data goes to standard output."""
    said = command(name)

    assert said.code == 0
    assert said.err == ""
    assert not said.out.startswith(("{", "["))


def test_status_is_1_when_not_ready(command, served) -> None:
    """`natlb status && …` waits for packets to be forwarded."""
    served.instance.ready = False

    assert command("status").code == 1
    assert command("status", "--json").code == 1
    assert json.loads(command("status", "--json").out)["ready"] is False


def test_backends_of_one_service(command, served) -> None:
    """Only that one is asked for."""
    command("backends", "web")

    assert served.instance.calls == [("backends", "web")]


def test_a_service_that_is_not_there_is_64(command) -> None:
    """With the names that are."""
    said = command("backends", "wbe")

    assert said.code == 64
    assert said.err == "error: no service 'wbe'; there is web\n"


def test_flows_are_filtered(command) -> None:
    """By the words of the contract."""
    assert len(command("flows", "backend=be2").out.splitlines()) == 2
    assert len(json.loads(command("flows", "backend=be2", "--json").out)) == 1


def test_many_flows_are_one_document(command, served) -> None:
    """Written as they come, whole all the same."""
    served.instance.table *= 1000

    assert json.loads(command("flows", "--json").out) == to_json(served.instance.table)


@pytest.mark.parametrize("name", ["status", "flows"])
def test_a_watch_in_json_is_json_lines(process, served, name) -> None:
    """Each line a document of its own; a failure ends it with the code of the failure."""
    served.instance.failure = None
    said = watched(process, served, name)

    assert said.code == 70
    lines = said.out.splitlines()
    assert len(lines) >= 2
    assert all(json.loads(line) for line in lines)


def watched(process, served, name: str):
    """Return what a watch said until the instance broke at the fourth request."""
    calls = served.instance.calls

    class Fourth(list):
        """Calls that end the watch."""

        def append(self, call) -> None:
            super().append(call)
            if len(self) == 4:
                served.instance.failure = ZeroDivisionError()

    served.instance.calls = Fourth(calls)
    return process(name, "--watch", "0.01", "--json")


def test_rates_are_told_from_the_second_look_on(served) -> None:
    """New flows since the last look, by the time that has passed."""
    from dataclasses import replace

    clock = iter([10.0, 12.0, 13.0])
    rates, pool = Rates(lambda: next(clock)), served.instance.pool
    assert rates.of(pool) == {}
    flows = replace(pool[0].flows, total=pool[0].flows.total + 6)
    busy = [replace(pool[0], flows=flows), *pool[1:]]

    assert rates.of(busy) == {"web/be1": 3.0, "web/be2": 0.0, "web/be3": 0.0}
    assert rates.of(pool)["web/be1"] == 0.0
