"""Commands that change a running instance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from natlb.errors import BusyError, ConfigError
from natlb.model import FlowFilter


@pytest.mark.parametrize(
    ("words", "state", "weight"),
    [
        (("drain", "web/be2"), "draining", None),
        (("maint", "web/be2"), "maint", None),
        (("ready", "web/be2"), "ready", None),
        (("weight", "web/be2", "0"), None, 0),
        (("weight", "web/be2", "65535"), None, 65535),
    ],
)
def test_a_backend_is_changed_and_shown(command, served, words, state, weight) -> None:
    """One intent a command, and what is now."""
    said = command(*words)

    assert said.code == 0
    assert served.instance.calls == [("set_backend", "web", "be2", state, weight)]
    assert said.out.startswith("web/be2: ")
    assert json.loads(command(*words, "--json").out)["name"] == "be2"


def test_what_is_shown_is_what_is_now(command) -> None:
    """With the flows that are still there."""
    assert command("drain", "web/be2").out == "web/be2: draining, weight 1, 1 flow\n"


@pytest.mark.parametrize("name", ["drain", "maint", "ready"])
def test_a_backend_that_is_not_there_is_64(command, name) -> None:
    """With the names that are."""
    said = command(name, "web/be9")

    assert said.code == 64
    assert said.err.startswith("error: no backend 'web/be9'; there are be1, be2, be3\n")


@pytest.mark.parametrize("weight", ["-1", "65536", "1.5", "x"])
def test_a_weight_is_a_number_of_16_bits(command, served, weight) -> None:
    """Usage, before anything is asked."""
    said = command("weight", "web/be1", weight)

    assert said.code == 2
    assert "range" not in said.err or "0<=x<=65535" in said.err
    assert not served.instance.calls


def test_a_flush_says_what_it_did(command, served) -> None:
    """`--reset` is passed on, and so is the filter."""
    assert command("flush").out == "3 flows dropped, 0 resets sent\n"
    assert command("flush", "service=web", "--reset").out == "3 flows dropped, 6 resets sent\n"
    assert json.loads(command("flush", "--json").out) == {"flushed": 3, "resets": 0}
    assert served.instance.calls[1] == ("flush", FlowFilter(service="web"), True)


def test_a_reload_prints_generation_and_difference(command) -> None:
    """What is new, gone, other."""
    assert command("reload").out == "generation 3\n+ dns\n~ web/be2\n"
    assert json.loads(command("reload", "--json").out)["generation"] == 3


def test_a_reload_that_changed_nothing_says_so(command, served, monkeypatch) -> None:
    """Silence would leave one wondering."""
    from natlb.model import Reload

    async def reload(_config, *, dry_run, revisions) -> Reload:
        assert not dry_run
        assert revisions is None
        return Reload(generation=2, added=[], removed=[], drained=["web/be1"], changed=[])

    monkeypatch.setattr(served.instance, "reload", reload)
    assert command("reload").out == "generation 2\ndraining web/be1\n"

    async def reload_nothing(_config, *, dry_run, revisions) -> Reload:
        assert not dry_run
        assert revisions is None
        return Reload(generation=2, added=[], removed=[], drained=[], changed=[])

    monkeypatch.setattr(served.instance, "reload", reload_nothing)
    assert command("reload").out == "generation 2, nothing changed\n"


def test_a_file_is_named_by_its_absolute_path(command, served, monkeypatch, folder) -> None:
    """Control stands in another directory."""
    monkeypatch.chdir(folder)
    command("reload", "--config", "natlb.yaml")

    assert served.instance.calls == [("reload", str(Path.cwd() / "natlb.yaml"))]


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("natlb.yaml:4:5: unknown key", fix="x"), 65), (BusyError("b"), 75)],
)
def test_a_reload_refused_is_told_as_it_was_meant(command, served, error, code) -> None:
    """The other side's words and code."""
    served.instance.failure = error
    said = command("reload")

    assert said.code == code
    assert said.err.startswith(f"error: {error.message}\n")


@pytest.mark.parametrize("words", [("--deadline", "5"), ("--wait", "--deadline", "0")])
def test_a_deadline_is_for_who_waits_and_in_the_future(command, served, words) -> None:
    """Usage, before anything is asked."""
    assert command("drain", "web/be1", *words).code == 2
    assert not served.instance.calls


def test_an_added_backend_is_shown(command, served) -> None:
    """Its name is its address unless it has one."""
    said = command("add", "web", "10.77.0.14:8080", "--name", "be4", "--weight", "3")
    command("add", "web", "10.77.0.15:8080", "--json")

    assert said.out == "web/be4: ready, weight 3, 1 flow\n"
    assert served.instance.calls == [
        ("add_backend", "web", "10.77.0.14:8080", "be4", 3),
        ("add_backend", "web", "10.77.0.15:8080", None, None),
    ]


def test_a_removed_backend_is_told_with_the_flows_that_it_had(command, served) -> None:
    """They may have a way to go."""
    assert command("remove", "web/be2").out == "web/be2: removed, had 1 flow\n"
    assert json.loads(command("remove", "web/be1", "--json").out)["name"] == "be1"
    assert [each.name for each in served.instance.pool] == ["be3"]
    assert command("remove", "web/be9").code == 64


def test_what_is_saved_is_told_and_so_is_what_is_not(command, served, monkeypatch) -> None:
    """A file has no key for states."""
    from dataclasses import replace

    from natlb.model import Change, Saved

    status = served.instance.status
    state = Change(backend="web/be1", field="state", file="ready", now="maint")

    async def with_state() -> object:
        return replace(await status(), changes=[state])

    monkeypatch.setattr(served.instance, "status", with_state)
    said = command("config", "save")
    tried = command("config", "save", "--dry-run")

    assert said.out == ("/etc/natlb/natlb.yaml: saved\nweb/be2: weight is 5, 1 in the file\n")
    assert said.err == "not saved, a file has no states: web/be1 is maint\n"
    assert tried.out.startswith("/etc/natlb/natlb.yaml: would be saved\n")
    assert served.instance.calls[-2] == ("save_config", "dry run")
    assert json.loads(command("config", "save", "--json").out)["changes"][0]["now"] == 5

    async def nothing(*, dry_run: bool, revisions: object) -> Saved:
        assert not dry_run
        assert revisions is None
        return Saved(config="/etc/x.yaml", changes=[])

    monkeypatch.setattr(served.instance, "save_config", nothing)
    assert command("config", "save").out == "/etc/x.yaml: nothing to save\n"
