"""The host changes under natlb: one natlb, one connection that goes on, one fault after another.

Each fault is made by `ip` or by a write under /proc/sys, as an administrator or another program
would make it, and must be repaired in time, told once, and leave nothing behind at the end.
"""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from natlb.netlink import Netlink, read_sysctl, write_sysctl
from tests.netns.process_lab import VIP, ProcessLab, eventually, kill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.netns

SLACK = 4.0  # times as long as promised, on a machine that does other things as well
NATLBS = 78  # the protocol of natlb's routes and rules
IP_MTU = 14  # Linux: in.h


@pytest.fixture(scope="module")
def running() -> Iterator[ProcessLab]:
    """Return one natlb for all tests of this file."""
    with pytest.MonkeyPatch.context() as environment, ProcessLab("hc") as made:
        environment.setenv("NATLB_JIT", "0")
        before = made.network()
        made.run()
        yield made
        assert made.stop(made.runs[-1]) == 0
        # Chaos or not: at the end the host is as it was found.
        assert made.network() == before


@pytest.fixture
def lab(running: ProcessLab) -> Iterator[ProcessLab]:
    """Return the lab, whose natlb still stands wholly after the test."""
    yield running
    wait_for_quiet(running)
    assert missing(running) == []


def ip(lab: ProcessLab, *words: str) -> str:
    """Run `ip` in the gateway."""
    done = subprocess.run(
        ["ip", "-n", lab.gateway, *words], check=True, capture_output=True, text=True
    )
    return done.stdout


def natlbs(lab: ProcessLab) -> set[str]:
    """Return what is natlb's of the gateway's network, in words."""
    with Netlink(lab.gateway) as netlink:
        found = {str(rule) for rule in netlink.rules(4) if rule.protocol == NATLBS}
        found |= {str(route) for route in netlink.routes(4, protocol=NATLBS)}
        for link in netlink.links():
            if link.name.startswith("natlb-"):
                found.add(f"{link.name} {link.kind} {link.mtu} {link.up} {link.addresses}")
    return found


_whole: dict[str, set[str]] = {}


def missing(lab: ProcessLab) -> list[str]:
    """Return what stood at the first look, and does not now."""
    return sorted(_whole.setdefault(lab.gateway, natlbs(lab)) - natlbs(lab))


def wait_for_quiet(lab: ProcessLab) -> None:
    """Wait until natlb says that it forwards, and traffic agrees."""
    eventually(lambda: lab.api.status().ready and is_served(lab), 30)


def is_served(lab: ProcessLab) -> bool:
    """Return whether a new connection gets its answer."""
    try:
        call = lab.call()
    except OSError:
        return False
    try:
        return call.echo() == b"hello\n"
    except OSError:
        return False
    finally:
        lab.calls.remove(call)
        call.close()


def told(lab: ProcessLab, kind: str) -> list[str]:
    """Return the lines about this."""
    lines = lab.output.read_text().splitlines()
    return [line for line in lines if line.split()[2:3] == [kind]]


def assert_repaired(lab: ProcessLab, fault: Callable[[], object], within: float) -> str:
    """Return the one line that tells of the repair, which came in time; connections go on."""
    assert missing(lab) == []
    call = lab.call()
    assert call.echo() == b"hello\n"
    before = told(lab, "host_repaired")
    fault()
    begun = time.monotonic()
    eventually(lambda: missing(lab) == [] and told(lab, "host_repaired") != before, 30)
    took = time.monotonic() - begun

    assert took < within * SLACK
    assert call.echo() == b"hello\n"
    assert is_served(lab)
    lines = told(lab, "host_repaired")[len(before) :]
    assert len(lines) == 1, lines
    call.close()
    return lines[0]


def test_routes_that_another_program_flushes_come_back(lab: ProcessLab) -> None:
    """Of natlb's table, and the VIP's in `main`."""
    line = assert_repaired(lab, lambda: ip(lab, "route", "flush", "table", "6285"), 5)
    assert "table 6285" in line
    line = assert_repaired(lab, lambda: ip(lab, "route", "del", VIP), 5)
    assert f"route {VIP}/32 dev natlb-pub" in line


def test_rules_that_another_program_deletes_come_back(lab: ProcessLab) -> None:
    """All of them, as `ip rule flush` does; here without the host's own.

    What a backend says in between reaches the client as it is, who resets it: only new connections
    are promised. A look may come before the last rule has gone.
    """
    before = len(told(lab, "host_repaired"))
    assert missing(lab) == []
    with Netlink(lab.gateway) as netlink:
        for rule in netlink.rules(4):
            if rule.protocol == NATLBS:
                netlink.delete_rule(rule)
    begun = time.monotonic()
    eventually(lambda: missing(lab) == [] and len(told(lab, "host_repaired")) > before, 30)

    assert time.monotonic() - begun < 5 * SLACK
    assert is_served(lab)


def test_addresses_of_a_device_come_back(lab: ProcessLab) -> None:
    """With the last one the kernel drops the routes by the device, and does not say so."""
    assert "natlb-pub" in assert_repaired(lab, lambda: ip(lab, "addr", "flush", "natlb-pub"), 5)
    assert "natlb-prv" in assert_repaired(lab, lambda: ip(lab, "addr", "flush", "natlb-prv"), 5)


def test_a_device_that_is_set_down_comes_up_again(lab: ProcessLab) -> None:
    """With the routes that the kernel dropped."""
    for name in ("natlb-pub", "natlb-prv"):
        line = assert_repaired(lab, lambda name=name: ip(lab, "link", "set", name, "down"), 5)  # type: ignore[misc]
        assert f"device {name}" in line


def test_a_device_gets_its_mtu_and_its_settings_back(lab: ProcessLab) -> None:
    """Whoever tuned all interfaces at once meant others."""

    def tune() -> None:
        ip(lab, "link", "set", "natlb-prv", "mtu", "1280")
        write_sysctl("net/ipv4/conf/natlb-prv/rp_filter", "1", netns=lab.gateway)

    assert "natlb-prv" in assert_repaired(lab, tune, 5)
    key = "net/ipv4/conf/natlb-prv/rp_filter"
    eventually(lambda: read_sysctl(key, netns=lab.gateway) == "2", 20)


def test_a_deleted_device_is_made_again_within_a_second(lab: ProcessLab) -> None:
    """By the kernel's word, not by the worker's."""
    for name in ("natlb-pub", "natlb-prv"):
        call, before = lab.call(), len(told(lab, "device_rebuilt"))
        ip(lab, "link", "del", name)
        begun = time.monotonic()
        eventually(lambda: missing(lab) == [], 30)

        assert time.monotonic() - begun < 1 * SLACK
        assert call.echo() == b"hello\n"
        assert is_served(lab)
        assert len(told(lab, "device_rebuilt")) == before + 1
        call.close()


def test_forwarding_switched_off_is_switched_on_again(lab: ProcessLab) -> None:
    """A sysctl of a side's interface that natlb set."""
    key = "net/ipv4/conf/p0/forwarding"
    assert read_sysctl(key, netns=lab.gateway) == "1"

    def switch_off() -> None:
        write_sysctl(key, "0", netns=lab.gateway)
        eventually(lambda: read_sysctl(key, netns=lab.gateway) == "1", 30)

    assert key in assert_repaired(lab, switch_off, 5)


@pytest.mark.parametrize(("interface", "address"), [("p0", "198.51.100.1/24"), ("br0", "")])
def test_an_interface_goes_down_and_comes_up(lab: ProcessLab, interface: str, address: str) -> None:
    """Connections wait, and go on."""
    call = lab.call()
    ip(lab, "link", "set", interface, "down")
    if address:
        ip(lab, "addr", "del", address, "dev", interface)
        ip(lab, "addr", "add", address, "dev", interface)
    else:
        eventually(lambda: told(lab, "host_not_resolved"), 20)
    ip(lab, "link", "set", interface, "up")
    if not address:
        eventually(lambda: told(lab, "host_resolved"), 20)

    assert call.echo() == b"hello\n"
    assert is_served(lab)
    assert len(told(lab, "host_not_resolved")) <= 1
    call.close()


def test_a_smaller_way_is_known_within_five_seconds(lab: ProcessLab) -> None:
    """And the larger one again: to the workers, and by them to clients."""
    generation = lab.api.status().generation
    begun = time.monotonic()
    ip(lab, "link", "set", "br0", "mtu", "1400")
    eventually(lambda: lab.api.status().generation > generation, 30)

    assert time.monotonic() - begun < 5 * SLACK
    assert "private way_mtu 1500 to 1400" in told(lab, "host_changed")[-1]
    assert path_mtu(lab) == 1400
    ip(lab, "link", "set", "br0", "mtu", "1500")
    eventually(lambda: lab.api.status().generation > generation + 1, 30)

    assert "private way_mtu 1400 to 1500" in told(lab, "host_changed")[-1]
    assert path_mtu(lab) == 1500


def path_mtu(lab: ProcessLab) -> int:
    """Return what a client learns of the way to the VIP by calling it."""
    subprocess.run(["ip", "-n", lab.client, "route", "flush", "cache"], check=True)
    call = lab.call()
    text = b"x" * 9000
    assert call.echo(text) == text
    mtu = call.connection.getsockopt(socket.IPPROTO_IP, IP_MTU)
    call.close()
    return mtu


def test_what_is_not_natlbs_is_left_alone(lab: ProcessLab) -> None:
    """An administrator's own rule, and one that he deletes."""
    ip(lab, "rule", "add", "priority", "77", "to", "192.0.2.0/24", "lookup", "main")
    ip(lab, "rule", "del", "priority", "77")
    ip(lab, "route", "add", "192.0.2.0/24", "dev", "br0")
    ip(lab, "route", "del", "192.0.2.0/24")
    before = told(lab, "host_repaired")
    time.sleep(0.5)

    assert told(lab, "host_repaired") == before


def test_the_next_supervisor_watches_as_well(lab: ProcessLab) -> None:
    """What changed while there was none, it finds; what changes then, it follows."""
    call, repaired = lab.call(), len(told(lab, "host_repaired"))
    kill(lab.runs[-1].pid)
    lab.runs[-1].wait(10)
    ip(lab, "route", "flush", "table", "6285")
    lab.run()
    eventually(lambda: missing(lab) == [] and len(told(lab, "host_repaired")) > repaired, 30)
    changed = len(told(lab, "host_changed"))
    ip(lab, "link", "set", "p0", "mtu", "1400")
    eventually(lambda: len(told(lab, "host_changed")) > changed, 30)
    ip(lab, "link", "set", "p0", "mtu", "1500")
    eventually(lambda: len(told(lab, "host_changed")) > changed + 1, 30)

    assert call.echo() == b"hello\n"
    call.close()
