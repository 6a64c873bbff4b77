"""The peers: what is missing is said with how to have it, and what they are told is right."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from natlb.bench import peers
from natlb.bench.peers import PEERS
from natlb.lab.topology import load_topology


@pytest.mark.parametrize(
    ("name", "package"),
    [("nft", "nftables"), ("haproxy", "haproxy"), ("nginx", "libnginx-mod-stream")],
)
def test_a_peer_that_is_not_installed_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    """Its column is left out, the others are measured."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    peer = next(peer for peer in PEERS if peer.name == name)

    assert "apt-get install" in peer.why_not()
    assert package in peer.why_not()


def test_nginx_without_its_stream_module_is_no_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian has it in a package of its own."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(peers, "STREAM_MODULES", (Path("/nowhere"),))
    assert "stream module" in peers.unless_stream()

    monkeypatch.setattr(peers, "STREAM_MODULES", (Path(__file__),))
    assert peers.unless_stream() == ""


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_stand_can_be_wired(peer: Any) -> None:
    """Its topology is one that the lab reads, with a client and a backend."""
    hosts = load_topology(str(peer.topology)).hosts

    assert {"client", "backend"} <= hosts.keys()
    assert ("lb" in hosts) == (peer.name != "none")


def test_proxies_have_two_threads_whatever_the_machine() -> None:
    """So that runs on different machines are about the same thing."""
    assert "nbthread 2" in peers.HAPROXY
