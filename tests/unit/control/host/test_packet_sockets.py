from __future__ import annotations

import os
import select
import socket
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from natlb.bpf.attach import attach_filter
from natlb.bpf.filters import public_filter
from natlb.control.host.packet_sockets import (
    join_solicited,
    leave_solicited,
    open_host,
    open_link,
    open_output,
)
from natlb.errors import DeniedError, HostError, NatlbError
from natlb.netlink import call_inside
from tests.gateway import VIP4, Gateway, gateway, ip, send, udp

if TYPE_CHECKING:
    from collections.abc import Iterator

netns = pytest.mark.netns
VNET_AND_ETHERNET = 10 + 14


@pytest.fixture(scope="module")
def place() -> Iterator[Gateway]:
    """Return client, gateway and backend."""
    with gateway() as made:
        yield made


def received(fd: int, seconds: float) -> bytes:
    """Return the next frame, its virtio-net header first; nothing if none comes."""
    if not select.select([fd], [], [], seconds)[0]:
        return b""
    return os.read(fd, 1 << 17)


@netns
def test_nothing_enters_a_link_before_it_has_a_filter(place: Gateway) -> None:
    """And then what the filter lets in, with a virtio-net header and the Ethernet header."""
    link = open_link("pub", place.gateway)
    try:
        send(place.client, VIP4)
        assert received(link, 0.2) == b""
        attach_filter(link, public_filter([ip_address(VIP4)], []))
        send(place.client, "198.51.100.1")
        send(place.client, VIP4, b"for natlb")
        frame = received(link, 20)
    finally:
        os.close(link)

    assert frame[VNET_AND_ETHERNET + 16 :][:4] == ip_address(VIP4).packed
    assert frame.endswith(b"for natlb")


@netns
def test_a_frame_leaves_by_the_interface_that_is_said(place: Gateway) -> None:
    """Behind a virtio-net header; nothing ever comes in."""
    link, output = open_link("c0", place.client), open_output(place.gateway)
    try:
        attach_filter(link, public_filter([ip_address(VIP4)], []))
        [to] = ip(place.client, "link", "show", "dev", "c0")
        [by] = ip(place.gateway, "link", "show", "dev", "pub")
        macs = bytes.fromhex((to["address"] + by["address"]).replace(":", ""))
        packet = bytes.fromhex("4500001c0000000040110000c6336401") + ip_address(VIP4).packed
        with socket.socket(fileno=os.dup(output)) as sender:
            sender.sendto(bytes(10) + macs + b"\x08\x00" + packet + bytes(8), ("pub", 0x0800))
        assert received(link, 20).endswith(packet + bytes(8))
        assert received(output, 0) == b""
    finally:
        os.close(link)
        os.close(output)


@netns
def test_the_host_sends_what_is_written_with_its_header(place: Gateway) -> None:
    """Routed and resolved by the host, from whatever address it says."""
    host = open_host(4, place.gateway)
    payload = b"\0\x09\0\x09\0\x0a\0\0hi"
    header = bytes.fromhex("45000000 00004000 4011 0000".replace(" ", ""))
    packet = header + ip_address(VIP4).packed + ip_address("198.51.100.2").packed + payload
    with udp(place.client) as server:
        server.bind(("198.51.100.2", 9))
        try:
            with socket.socket(fileno=os.dup(host)) as raw:
                raw.sendto(packet, ("198.51.100.2", 0))
            assert server.recvfrom(100) == (b"hi", (VIP4, 9))
        finally:
            os.close(host)


@netns
def test_an_interface_listens_for_questions_as_long_as_the_socket_lives(place: Gateway) -> None:
    """To the group of the address (RFC 4291, section 2.7.1); twice is once."""

    def groups() -> list[str]:
        [shown] = ip(place.gateway, "-6", "maddress", "show", "dev", "pub")
        return [each["address"] for each in shown["maddr"]]

    vip, number = (
        IPv6Address("2001:db8::ab:cdef"),
        call_inside(place.gateway, lambda: socket.if_nametoindex("pub")),
    )
    host = open_host(6, place.gateway)
    try:
        for _ in range(2):
            join_solicited(host, vip, number)
        assert "ff02::1:ffab:cdef" in groups()
        for _ in range(2):
            leave_solicited(host, vip, number)
        assert "ff02::1:ffab:cdef" not in groups()
        join_solicited(host, vip, number + 1000)
    finally:
        os.close(host)


@netns
def test_an_interface_that_is_not_there_is_named(place: Gateway) -> None:
    """It may have gone a moment ago."""
    with pytest.raises(HostError, match=r"no packet socket for interface pub7: ENODEV") as refused:
        open_link("pub7", place.gateway)

    assert refused.value.fix == "datapath: {driver: tun}"


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (1, DeniedError, "^need CAP_NET_RAW: no packet socket for IPv4: EPERM"),
        (97, HostError, "^no packet socket for IPv4: EAFNOSUPPORT"),
    ],
)
def test_a_refusal_says_what_was_asked_and_what_to_use(
    number: int, kind: type[NatlbError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing right is another exit code."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(kind, match=words):
        open_host(4, "")
