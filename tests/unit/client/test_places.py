"""Where instances listen, and how one is let in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from natlb.client import Client, places
from natlb.client.places import default_socket, group_name, way_in


def test_nobody_is_told_to_join_the_group_of_root() -> None:
    """A group made for natlb's users, yes."""
    assert way_in(0) == "sudo natlb ..."
    assert "usermod -aG daemon" in way_in(1)


def test_a_group_without_a_name_is_told_by_number() -> None:
    """In a container the group's name may not be known."""
    assert group_name(2**31 - 7) == str(2**31 - 7)


def test_the_default_socket_is_that_of_this_network_namespace() -> None:
    """Commands find the instance of the namespace they run in."""
    inode = Path("/proc/self/ns/net").stat().st_ino

    assert default_socket() == f"/run/natlb/{inode}/natlb.sock"
    assert Client().path == default_socket()


@pytest.mark.parametrize(
    ("may_open", "found"),
    [
        (places.DOORS, "natlb.sock"),
        (places.DOORS[1:], "natlb-operate.sock"),
        (places.DOORS[2:], "natlb-read.sock"),
        ((), "natlb.sock"),
    ],
)
def test_the_default_socket_is_the_greatest_that_lets_in(
    monkeypatch: Any, may_open: tuple[str, ...], found: str
) -> None:
    """A monitor's user reads without being told where; who may nothing is told of the first."""
    monkeypatch.setattr(places, "_is_open", lambda door: door.name in may_open)

    assert Path(default_socket()).name == found
