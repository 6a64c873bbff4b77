"""Errors about a flow between versions, sent by routers and hosts of either side."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from natlb.engine import DropReason, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests import judge
from tests.crossing import BOTH, TO4, TO6, Crossing
from tests.datapath import assert_counts_agree
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

ROUTERS = {4: "192.0.2.1", 6: "2001:db8:ee::1"}
PRIVATE_ROUTERS = {4: "10.9.0.1", 6: "fd00:9::1"}


def address(endpoint: str) -> str:
    """Return an endpoint's address as text."""
    return str(packets.split_endpoint(endpoint)[0])


def error_about(
    talk: Crossing, packet: bytes, kind: int, code: int = 0, rest: int = 0, **fields: Any
) -> tuple[bytes, bytes]:
    """Return what is sent about a packet by a router behind natlb, and the packet as natlb sent it.

    `most` is how much is quoted, `ttl` the error's own, `behind` what follows the quote.
    """
    sent = talk.send(packet).packets[0]
    version = sent[0] >> 4
    to = address(packets.read(sent).source)
    is_reply = packets.read(packet).source == talk.backend
    router = (ROUTERS if is_reply else PRIVATE_ROUTERS)[version]
    quote = sent[: fields.get("most", 528)] + fields.get("behind", b"")
    header = Header(ttl=fields.get("ttl", 60), tos=fields.get("tos", 0))
    return packets.icmp(router, to, kind, code, rest, quote, header=header), sent


def read_error(packet: bytes) -> tuple[int, int, int, bytes]:
    """Return type, code, the word behind the checksum and the quote of an error; it is sound."""
    assert not packets.faults(packet)
    at = packets.transport_at(packet)
    return packet[at], packet[at + 1], int.from_bytes(packet[at + 4 : at + 8]), packet[at + 8 :]


def looks_like(quote: bytes, packet: bytes) -> bool:
    """Return whether a quote is one of this packet: what a sender finds its socket by."""
    version, at = packet[0] >> 4, packets.transport_at(packet)
    if version == 4:
        same = quote[:4] == packet[:4] and quote[8:10] == packet[8:10]
        assert packets.sum_words(quote[:20]) == 0xFFFF
        addresses = quote[12:20] == packet[12:20]
    else:
        same = quote[4:8] == packet[4:8] and quote[0] == packet[0]
        addresses = quote[8:40] == packet[8:40]
    return same and addresses and quote[at:] == packet[at : len(quote)]


UNREACHABLES_TO6 = {
    **dict.fromkeys((0, 1, 5, 6, 7, 8, 11, 12), (1, 0)),
    2: (4, 1),
    3: (1, 4),
    **dict.fromkeys((9, 10, 13, 15), (1, 1)),
}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        *(((3, code), told) for code, told in UNREACHABLES_TO6.items()),
        ((11, 0), (3, 0)),
        ((11, 1), (3, 1)),
    ],
)
def test_an_ip4_error_about_an_ip6_clients_packet(said: Any, told: Any) -> None:
    """By the table of RFC 7915 section 4.2, from the VIP, quoting the client (C8, R16)."""
    talk = Crossing(TO4)
    packet = talk.original(payload=b"hello", header=Header(tos=0xB8))
    error, _ = error_about(talk, packet, *said, tos=0x20)
    before = talk.path.flows()
    result = talk.send(error)
    kind, code, rest, quote = read_error(result.packets[0])

    assert (result.verdict, result.reason, result.sides) == (Verdict.FORWARD, None, ["public"])
    assert (kind, code) == told
    assert rest == (6 if told == (4, 1) else 0)
    read = judge.IPv6(result.packets[0])
    assert (read.src, read.dst, read.hlim, read.tc) == (
        address(talk.vip),
        address(talk.client),
        *(60, 0x20),
    )
    assert looks_like(quote, packet)
    assert len(quote) == len(packet)
    assert talk.path.flows() == before
    assert_counts_agree(talk.path.stats())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        *(((1, code), (3, at)) for code, at in enumerate((1, 10, 1, 1, 3))),
        ((3, 0), (11, 0)),
        ((3, 1), (11, 1)),
        ((4, 1), (3, 2)),
    ],
)
def test_an_ip6_error_about_an_ip4_clients_packet(said: Any, told: Any) -> None:
    """By the table of RFC 7915 section 5.2."""
    talk = Crossing(TO6)
    packet = talk.original(payload=b"hello")
    error, _ = error_about(talk, packet, *said)
    result = talk.send(error)
    kind, code, rest, quote = read_error(result.packets[0])

    assert (result.verdict, result.reason, result.sides) == (Verdict.FORWARD, None, ["public"])
    assert (kind, code, rest) == (*told, 0)
    read = judge.IP(result.packets[0])
    assert (read.src, read.dst, read.ttl) == (address(talk.vip), address(talk.client), 60)
    assert looks_like(quote, packet)
    assert len(quote) == len(packet)


@pytest.mark.parametrize("ends", BOTH)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_an_error_about_a_reply_is_from_natlbs_own_address(ends: Any, protocol: str) -> None:
    """The backend knows nobody else of that conversation (C6)."""
    talk = Crossing(ends, protocol)
    packet = talk.reply(payload=b"world")
    said, told = ((1, 4), (3, 3)) if ends is TO4 else ((3, 3), (1, 4))
    result = talk.send(error_about(talk, packet, *said)[0])
    kind, code, _, quote = read_error(result.packets[0])
    read = judge.dissect(result.packets[0])

    assert ((kind, code), result.sides) == (told, ["private"])
    assert (read.src, read.dst) == (address(talk.source), address(talk.backend))
    assert looks_like(quote, packet)


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        *((TO4, (3, code)) for code in (14, 16, 200)),
        *((TO4, (12, code)) for code in (1, 3)),
        *((TO6, (1, code)) for code in (5, 6, 7)),
        *((TO6, (4, code)) for code in (2, 3)),
    ],
)
def test_what_has_no_counterpart_is_dropped(ends: Any, said: tuple[int, int]) -> None:
    """As the RFC says, silently."""
    talk = Crossing(ends)
    result = talk.send(error_about(talk, talk.original(), *said)[0])

    assert (result.verdict, result.reason) == (Verdict.DROP, DropReason.UNSUPPORTED)


POINTERS_TO6 = {0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6, **dict.fromkeys(range(12, 16), 8)}
POINTERS_TO6 |= dict.fromkeys(range(16, 20), 24)
POINTERS_TO4 = {0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8, **dict.fromkeys(range(8, 24), 12)}
POINTERS_TO4 |= dict.fromkeys(range(24, 40), 16)


@pytest.mark.parametrize(
    ("ends", "said", "shift", "pointers", "told"),
    [
        (TO4, (12, 0), 24, POINTERS_TO6, (4, 0)),
        (TO4, (12, 2), 24, POINTERS_TO6, (4, 0)),
        (TO6, (4, 0), 0, POINTERS_TO4, (12, 0)),
    ],
)
def test_pointers_are_of_the_same_field(
    ends: Any, said: Any, shift: int, pointers: dict[int, int], told: Any
) -> None:
    """By RFC 7915, figures 3 and 6; a field that the other version has not makes it nothing."""
    talk = Crossing(ends)
    for pointer in range(45):
        result = talk.send(
            error_about(talk, talk.original(), said[0], said[1], pointer << shift)[0]
        )
        if pointer not in pointers:
            assert result.reason is DropReason.UNSUPPORTED
            continue
        kind, code, rest, _ = read_error(result.packets[0])

        assert (kind, code) == told
        assert rest == pointers[pointer] << (24 - shift)


@pytest.mark.parametrize(
    ("said", "told"), [(1400, 1420), (1300, 1320), (1260, 1280), (576, 1280), (68, 1280)]
)
def test_an_ip4_paths_mtu_is_20_more_to_ip6(said: int, told: int) -> None:
    """And never less than 1280 (RFC 7915 section 4.2)."""
    talk = Crossing(TO4, "udp")
    error, _ = error_about(talk, talk.original(bytes(1400)), 3, 4, said)

    assert read_error(talk.send(error).packets[0])[:3] == (2, 0, told)


@pytest.mark.parametrize(("said", "told"), [(1400, 1380), (1280, 1260), (1 << 20, 65515)])
def test_an_ip6_paths_mtu_is_20_less_to_ip4(said: int, told: int) -> None:
    """So that what the sender sends then fits (RFC 7915 section 5.2)."""
    talk = Crossing(TO6, "udp")
    error, _ = error_about(talk, talk.original(bytes(1400)), 2, 0, said)

    assert read_error(talk.send(error).packets[0])[:3] == (3, 4, told)


@pytest.mark.parametrize(
    ("ends", "mtu", "said", "told"),
    [
        (TO4, (1400, 9000), (3, 4, 8000), 1400),
        (TO4, (9000, 1500), (3, 4, 8000), 1520),
        (TO6, (1400, 9000), (2, 0, 8000), 1400),
        (TO6, (9000, 1500), (2, 0, 8000), 1480),
    ],
)
def test_no_more_is_told_than_natlbs_own_links_take(
    ends: Any, mtu: Any, said: Any, told: int
) -> None:
    """Or the sender would learn it once more."""
    talk = Crossing(ends, "udp", mtu=mtu)
    error, _ = error_about(talk, talk.original(bytes(1000)), *said)

    assert read_error(talk.send(error).packets[0])[2] == told


@pytest.mark.parametrize(
    ("length", "told"), [(1493, 1512), (1492, 1280), (1300, 1280), (100, 1280), (9000, 8186)]
)
def test_a_router_that_names_no_mtu_means_the_next_usual_one(length: int, told: int) -> None:
    """Below the packet that was too big for it (RFC 1191 section 7)."""
    talk = Crossing(TO4, "udp")
    packet = talk.original(bytes(length + 20 - 48))
    error, sent = error_about(talk, packet, 3, 4, 0)
    assert len(sent) == length

    assert read_error(talk.send(error).packets[0])[2] == told


@pytest.mark.parametrize("ends", BOTH)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_eight_octets_of_transport_are_enough(ends: Any, protocol: str) -> None:
    """RFC 792; ports are there, and UDP's checksum (C9)."""
    talk = Crossing(ends, protocol)
    packet = talk.original(payload=b"hello")
    said, header = ((3, 1), 20) if ends is TO4 else ((1, 0), 40)
    error, _ = error_about(talk, packet, *said, most=header + 8)
    quote = read_error(talk.send(error).packets[0])[3]

    assert len(quote) == 60 - header + 8
    assert looks_like(quote, packet)


@pytest.mark.parametrize("ends", BOTH)
def test_no_more_is_quoted_than_any_link_takes(ends: Any) -> None:
    """1280 octets in all, or the MTU of the way where it is less."""
    for mtu, most in ((9000, 1280), (1000, 1000)):
        talk = Crossing(ends, "udp", mtu=(mtu, 9000))
        packet = talk.original(bytes(1400), header=Header(dont_fragment=False))
        said = (3, 1) if ends is TO4 else (1, 0)
        error, _ = error_about(talk, packet, *said, most=1300)
        out = talk.send(error).packets[0]

        assert len(out) == most
        assert looks_like(read_error(out)[3], packet)


@pytest.mark.parametrize("ends", BOTH)
def test_natlb_takes_a_hop_of_an_error_too(ends: Any) -> None:
    """Where no kernel does."""
    talk = Crossing(ends, ttl="own")
    error, _ = error_about(talk, talk.original(), *((3, 1) if ends is TO4 else (1, 0)), ttl=9)

    assert packets.read(talk.send(error).packets[0]).ttl == 8


EXTENSIONS = bytes([0x20, 0, 0, 0]) + bytes([0, 8, 1, 1]) + b"MPLS"


@pytest.mark.parametrize(
    ("size", "field", "share"),
    [
        (40, 128, 128),  # zeros up to the least
        (108, 128, 128),
        (109, 132, 136),  # in eights
        (112, 132, 136),
        (300, 300, 320),
    ],
)
def test_extensions_move_with_the_quote_to_ip6(size: int, field: int, share: int) -> None:
    """Unchanged, behind as many octets as the length field says (C5, RFC 4884)."""
    talk = Crossing(TO4, "udp")
    packet = talk.original((bytes(range(250)) * 2)[: size - 28])
    behind = bytes(field - size) + EXTENSIONS
    error, sent = error_about(talk, packet, 11, 0, field // 4 << 16, behind=behind)
    assert len(sent) == size
    kind, _, rest, quote = read_error(talk.send(error).packets[0])

    assert (kind, rest) == (3, share // 8 << 24)
    assert looks_like(quote[: len(packet)], packet)
    assert not any(quote[len(packet) : share])
    assert quote[share:] == EXTENSIONS


@pytest.mark.parametrize(
    ("size", "field", "share"), [(60, 128, 128), (148, 152, 128), (156, 160, 136)]
)
def test_extensions_move_with_the_quote_to_ip4(size: int, field: int, share: int) -> None:
    """In fours, and 128 at the least."""
    talk = Crossing(TO6, "udp")
    packet = talk.original(bytes(range(size - 48)))
    behind = bytes(field - size) + EXTENSIONS
    error, sent = error_about(talk, packet, 1, 0, field // 8 << 24, behind=behind)
    assert len(sent) == size
    kind, _, rest, quote = read_error(talk.send(error).packets[0])

    assert (kind, rest) == (3, share // 4 << 16)
    assert looks_like(quote[: len(packet)], packet)
    assert not any(quote[len(packet) : share])
    assert quote[share:] == EXTENSIONS


def test_extensions_stay_behind_where_the_other_type_has_none() -> None:
    """Too big of IPv6 has no field to say where they begin."""
    talk = Crossing(TO4, "udp")
    packet = talk.original(bytes(80))
    rest = 128 // 4 << 16 | 1400
    error, sent = error_about(talk, packet, 3, 4, rest, behind=bytes(20) + EXTENSIONS)
    kind, _, rest, quote = read_error(talk.send(error).packets[0])

    assert (kind, rest) == (2, 1420)
    assert len(sent) == 108
    assert quote == packet


@pytest.mark.parametrize(("field", "extensions", "share"), [(1020, 200, 1032), (1000, 12, 1024)])
def test_a_long_quote_is_cut_before_its_extensions(field: int, extensions: int, share: int) -> None:
    """1280 octets in all, extensions whole."""
    talk = Crossing(TO4, "udp")
    packet = talk.original(bytes(range(250)) * 4 + bytes(180))
    behind = EXTENSIONS * (extensions // 4 // 3) + bytes(extensions % 12)
    error, _ = error_about(talk, packet, 11, 0, field // 4 << 16, most=field, behind=behind)
    _, _, rest, quote = read_error(talk.send(error).packets[0])

    assert rest >> 24 == share // 8
    assert looks_like(quote[: min(share, field + 20)], packet)
    assert quote[share:] == behind


def test_extensions_that_do_not_fit_are_left_out() -> None:
    """As if there had been none: nothing says how long the quote is."""
    talk = Crossing(TO4, "udp")
    packet = talk.original(bytes(1180))
    error, _ = error_about(talk, packet, 11, 0, 32 << 16, most=128, behind=bytes(1180))
    kind, _, rest, quote = read_error(talk.send(error).packets[0])

    assert (kind, rest, len(quote)) == (3, 0, 148)
    assert looks_like(quote, packet)


@pytest.mark.parametrize("ends", BOTH)
def test_a_quoted_first_fragment_is_one_of_the_other_version(ends: Any) -> None:
    """With a Fragment header, or "more fragments" in IPv4's own."""
    talk = Crossing(ends, "udp")
    talk.send(talk.original(b"x"))
    quoted = fragment_of(talk)
    version = quoted[0] >> 4
    said = (3, 1) if version == 4 else (1, 0)
    error = packets.icmp(PRIVATE_ROUTERS[version], address(talk.source), *said, 0, quoted)
    quote = read_error(talk.send(error).packets[0])[3]

    if version == 4:
        assert (quote[6], quote[40], quote[42:44], quote[44:48]) == (
            *(44, 17, b"\0\1"),
            bytes([0, 0, 0xBE, 0xEF]),
        )
        assert int.from_bytes(quote[4:6]) == 24 + 8
    else:
        assert (quote[4:8], quote[9]) == (bytes([0xBE, 0xEF, 0x20, 0]), 17)
        assert int.from_bytes(quote[2:4]) == 20 + 24
    ports = [packets.split_endpoint(end)[1] for end in (talk.client, talk.vip)]
    assert quote[-24:-20] == struct.pack("!HH", *ports)


def fragment_of(talk: Crossing) -> bytes:
    """Return a first piece of what natlb sent to the backend."""
    ends = [packets.split_endpoint(end) for end in (talk.source, talk.backend)]
    datagram = struct.pack("!HHHH", ends[0][1], ends[1][1], 100, 0x1234) + bytes(16)
    if talk.backend_version == 4:
        header = Header(more_fragments=True, dont_fragment=False, identification=0xBEEF)
        return packets.ip(ends[0][0], ends[1][0], 17, datagram, header)
    extension = bytes([17, 0, 0, 1, 0xDE, 0xAD, 0xBE, 0xEF])
    return packets.ip(ends[0][0], ends[1][0], 44, extension + datagram)
