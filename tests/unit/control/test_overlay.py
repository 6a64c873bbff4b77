"""Backends added and removed over a file, checked as the file is."""

from __future__ import annotations

import pytest

from natlb.control.config import InvalidConfigError
from natlb.control.overlay import NO_OVERLAY, Overlay, laid_over, parse_file, written_of
from natlb.control.registry import BackendAdded, BackendRemoved
from natlb.errors import ConfigError

TEXT = """
services:
  web:
    listen: tcp://203.0.113.10:80
    backends: [{name: b1, address: "10.77.0.11:8080", weight: 3}, "10.77.0.12:8080"]
  dns: {listen: udp://203.0.113.11:53, backends: [{name: d1, address: 10.77.0.13}]}
"""
FILE = parse_file(TEXT, "natlb.yaml")


def added(name: str, address: str, weight: int = 1, service: str = "web") -> BackendAdded:
    """Return a backend that was added."""
    return BackendAdded(service=service, name=name, address=address, weight=weight)


def names(overlay: Overlay, service: str = "web") -> list[str]:
    """Return who is in a pool with this over the file."""
    config = laid_over(FILE, TEXT, "natlb.yaml", overlay)
    return [backend.name for backend in config.services[service].backends]


def test_nothing_over_a_file_is_the_file() -> None:
    """No second reading is needed."""
    assert laid_over(FILE, TEXT, "natlb.yaml", NO_OVERLAY) is FILE
    assert not NO_OVERLAY


def test_a_configuration_with_changes_is_the_one_of_a_file_that_says_them() -> None:
    """Equal in every field: it is read by the same code."""
    overlay = Overlay(
        added=(added("b3", "10.77.0.14:81", 7), added("[fd00::1]:80", "[fd00::1]:80")),
        removed=(BackendRemoved(service="web", name="10.77.0.12:8080"),),
    )
    text = TEXT.replace(
        '"10.77.0.12:8080"', '{name: b3, address: "10.77.0.14:81", weight: 7}, "[fd00::1]:80"'
    )
    text += 'datapath: {source: [10.77.0.100, "fd00::100"]}'
    file = TEXT + 'datapath: {source: [10.77.0.100, "fd00::100"]}'
    config = laid_over(parse_file(file, "x.yaml"), file, "x.yaml", overlay)

    assert config == parse_file(text, "x.yaml")
    assert overlay.services() == ["web"]


def test_the_last_backend_may_go() -> None:
    """A pool may be empty in a file too."""
    overlay = NO_OVERLAY.with_removed("dns", "d1")

    assert names(overlay, "dns") == []
    assert names(overlay) == ["b1", "10.77.0.12:8080"]


@pytest.mark.parametrize(
    ("address", "name", "words"),
    [
        ("10.77.0.11:8080", "b3", "is the address of backend 'b1' as well"),
        ("203.0.113.10:80", "b3", "is a VIP of service 'web'"),
        ("10.77.0.14:70000", "b3", "port 70000"),
        ("10.77.0.14:0", "b3", "port 0"),
        ("localhost:80", "b3", "localhost"),
        ("[fd00::1]:80", "b3", "IPv4 clients need an IPv6 address in datapath.source"),
        ("10.77.0.14", "b;3", "b;3"),
        ("10.77.0.14", "$(id)", "name"),
        ("10.77.0.14", "b\n3", "name"),
        ("10.77.0.14", "../b3", "name"),
        ("10.77.0.14", "b\0", "name"),
        ("10.77.0.14", "b" * 100_000, "name"),
        ("10.77.0.14", "", "name"),
        ("1" * 100_000, "b3", "address"),
        ("", "b3", "address"),
        ("10.77.0.14\n", "b3", "address"),
        ("-10.77.0.14", "b3", "address"),
    ],
)
def test_what_a_file_may_not_say_may_not_be_added(address, name, words) -> None:
    """By the rules of the configuration, in its words, and never at length."""
    with pytest.raises(InvalidConfigError) as caught:
        names(Overlay(added=(added(name, address),)))

    assert words in caught.value.message
    assert len(caught.value.message) < 500
    assert caught.value.message.isprintable()


def test_what_was_removed_comes_back_as_what_it_was() -> None:
    """Under its address; another one under its name would be confused with it."""
    gone = NO_OVERLAY.with_removed("web", "b1")

    assert names(gone) == ["10.77.0.12:8080"]
    assert gone.with_added(added("b1", "10.77.0.11:8080"), FILE) == NO_OVERLAY
    with pytest.raises(ConfigError, match=r"web/b1 is 10\.77\.0\.11:8080 in the file") as caught:
        gone.with_added(added("b1", "10.77.0.19:8080"), FILE)
    assert caught.value.fix is not None
    assert caught.value.fix.startswith("natlb add web 10.77.0.11:8080 --name b1")


def test_what_was_added_goes_without_a_trace() -> None:
    """The file never had it."""
    overlay = NO_OVERLAY.with_added(added("b3", "10.77.0.14:81"), FILE)

    assert names(overlay) == ["b1", "10.77.0.12:8080", "b3"]
    assert overlay.with_removed("web", "b3") == NO_OVERLAY


def test_what_a_new_file_says_itself_lies_over_it_no_more() -> None:
    """Nor what it does not say any more, nor what belongs to a service that is gone."""
    overlay = Overlay(
        added=(
            added("b1", "10.77.0.11:8080"),
            added("b3", "10.77.0.14:81"),
            added("x", "y", 1, "g"),
        ),
        removed=(
            BackendRemoved(service="dns", name="d1"),
            BackendRemoved(service="dns", name="d9"),
        ),
    )

    assert overlay.still_over(FILE) == Overlay(
        added=(added("b3", "10.77.0.14:81"),),
        removed=(BackendRemoved(service="dns", name="d1"),),
    )


def test_a_backend_is_written_as_short_as_it_can_be() -> None:
    """Who is called by its address needs no name, and nobody needs to say a weight of 1."""
    assert written_of(added("10.77.0.14:81", "10.77.0.14:81")) == {"address": "10.77.0.14:81"}
    assert written_of(added("b3", "10.77.0.14", 2)) == {
        "name": "b3",
        "address": "10.77.0.14",
        "weight": 2,
    }
