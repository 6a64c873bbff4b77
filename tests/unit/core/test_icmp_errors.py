from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from natlb.core import icmp_errors
from natlb.core.flow_table import bind, hash_key, insert
from natlb.core.layout import (
    ACTION_NAT,
    ACTION_XLAT,
    DIRECT,
    ESTABLISHED,
    PRIVATE,
    PUBLIC,
    SHARED,
    SOURCE,
)
from natlb.core.tables import find_endpoint
from natlb.engine import DropReason, PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from natlb.wire.fields import TCP
from tests import judge
from tests.datapath import (
    B1,
    B1_6,
    B2,
    CLIENT,
    CLIENT6,
    VIP6,
    assert_counts_agree,
    broken_laws,
    engine,
    live_rows,
    one_service,
)
from tests.datapath import VIP as VIP4
from tests.errors import (
    INNER_ROUTER,
    KINDS,
    ROUTER,
    UNREACHABLE,
    Conversation,
    converse,
    extended,
    extension_object,
)
from tests.kernels import key_of, write_reply

if TYPE_CHECKING:
    from natlb.engine import Engine, Result

FROM_PUBLIC, FROM_PRIVATE = PacketMeta(side="public"), PacketMeta(side="private")
ALL_KINDS = pytest.mark.parametrize(("protocol", "version"), KINDS)
KINDS4 = [(3, 0), (3, 1), (3, 3), (3, 13), (11, 0), (11, 1), (12, 0)]
KINDS6 = [(1, 0), (1, 4), (3, 0), (3, 1), (4, 0), (2, 0)]
HOST = {4: "192.0.0.11", 6: "fd6e:6174:6c62::8"}  # natlb's own, which the host's kernel answers by


def is_dropped(result: Result, reason: DropReason) -> bool:
    """Return whether a packet was dropped for this reason, and nothing went out."""
    return (result.verdict, result.reason, result.packets) == (Verdict.DROP, reason, [])


def is_sent(result: Result, packet: bytes, side: str) -> bool:
    """Return whether just this packet went on, by that side, with every checksum right."""
    sent = (result.verdict, result.packets, result.sides) == (Verdict.FORWARD, [packet], [side])
    return sent and judge.is_sound_error(packet)


def told_client(talk: Conversation, quote: bytes, sender: str = "", **how: Any) -> Result:
    """Return what becomes of an error about the client's packet, from behind natlb."""
    number, code = how.pop("kind", UNREACHABLE[talk.version])
    rest = how.pop("rest", 0)
    error = packets.icmp(sender or talk.server, talk.client, number, code, rest, quote, **how)
    return talk.path.process(error, 1.0, FROM_PRIVATE)


def told_server(talk: Conversation, quote: bytes, sender: str = "", **how: Any) -> Result:
    """Return what becomes of an error about the backend's packet, from before natlb."""
    number, code = how.pop("kind", UNREACHABLE[talk.version])
    rest = how.pop("rest", 0)
    error = packets.icmp(sender or talk.client, talk.vip, number, code, rest, quote, **how)
    return talk.path.process(error, 1.0, FROM_PUBLIC)


@pytest.mark.parametrize("sender", [None, INNER_ROUTER, HOST])
@pytest.mark.parametrize("transport", [8, 16, 18, 500])
@ALL_KINDS
def test_the_client_hears_of_its_own_packet_from_the_vip(
    protocol: str, version: int, transport: int, sender: dict[int, str] | None
) -> None:
    """A backend's error, a router's, the kernel's of this host: no private address shows (C8, C9).

    Eight octets of transport are enough: TCP's checksum is not among them, UDP's is.
    """
    talk = converse(protocol, version)
    for kind in KINDS4 if version == 4 else KINDS6:
        rest = 1300 if kind == (2, 0) else 0
        said = {"kind": kind, "rest": rest}
        quote = talk.quoted(talk.request_sent, transport)
        result = told_client(talk, quote, sender[version] if sender else "", **said)
        quote = talk.quoted(talk.request, transport)
        expected = packets.icmp(talk.vip, talk.client, *kind, rest, quote)

        assert is_sent(result, expected, "public")
    assert_counts_agree(talk.path.stats())


@pytest.mark.parametrize("transport", [8, 16, 18, 500])
@ALL_KINDS
def test_the_backend_hears_of_its_own_packet_from_who_said_it(
    protocol: str, version: int, transport: int
) -> None:
    """The client, or a router before natlb: its address stays (C6, C7; RFC 5508 REQ-4)."""
    talk = converse(protocol, version)
    for sender in (talk.client, ROUTER[version], HOST[version]):
        for kind in KINDS4 if version == 4 else KINDS6:
            rest = 1300 if kind == (2, 0) else 0
            quote = talk.quoted(talk.answer_sent, transport)
            result = told_server(talk, quote, sender, kind=kind, rest=rest)
            quote = talk.quoted(talk.answer, transport)
            expected = packets.icmp(sender, talk.server, *kind, rest, quote)

            assert is_sent(result, expected, "private")


@ALL_KINDS
def test_the_quote_may_have_lost_hops(protocol: str, version: int) -> None:
    """Its header is as it was when the router gave up on it; the rest of it is as sent."""
    talk = converse(protocol, version)
    late = judge.rebuilt(
        talk.request_sent,
        packets.read(talk.request_sent).source,
        packets.read(talk.request_sent).destination,
        hops=9,
    )
    sent = packets.read(talk.request)
    result = told_client(talk, late)
    expected = judge.rebuilt(talk.request, sent.source, sent.destination, hops=9)

    assert result.packets[0].endswith(expected)
    assert judge.is_sound_error(result.packets[0])


@ALL_KINDS
def test_an_errors_own_header_stays_but_for_its_addresses(protocol: str, version: int) -> None:
    """Traffic class, flow label, identification; padding behind it is cut off (I2)."""
    talk = converse(protocol, version)
    header = Header(tos=0xC0, identification=777, dont_fragment=False, flow_label=0xBEEF, ttl=9)
    quote = talk.quoted(talk.request_sent)
    error = packets.icmp(talk.server, talk.client, *UNREACHABLE[version], 0, quote, header=header)
    result = talk.path.process(error + b"padding", 1.0, FROM_PRIVATE)
    expected = packets.icmp(
        talk.vip,
        talk.client,
        *UNREACHABLE[version],
        0,
        talk.quoted(talk.request),
        header=header,
    )

    assert is_sent(result, expected, "public")


@ALL_KINDS
def test_an_error_changes_nothing_of_the_flow(protocol: str, version: int) -> None:
    """Not its timer, not a count, not its state (C12, C20, U10; RFC 5508 REQ-6)."""
    talk = converse(protocol, version)
    (number,) = live_rows(talk.path._flows)
    row = talk.path._flows.rows[number]
    backends = talk.path._counters.backends.tobytes()
    services = talk.path._counters.services.tobytes()
    before = row.tobytes()
    for kind in KINDS4 if version == 4 else KINDS6:
        for mtu in (0, 68, 552, 1280):
            told_client(talk, talk.quoted(talk.request_sent), kind=kind, rest=mtu)
            told_server(talk, talk.quoted(talk.answer_sent), kind=kind, rest=mtu)

    assert row.tobytes() == before
    assert talk.path._counters.backends.tobytes() == backends
    assert talk.path._counters.services.tobytes() == services
    assert not broken_laws(talk.path._flows, talk.path._counters)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("mtu", [0, 68, 552, 1280, 1500])
def test_any_mtu_is_told_on_over_ip4(protocol: str, mtu: int) -> None:
    """The endpoint decides what it believes (C20, RFC 5927)."""
    talk = converse(protocol, 4)
    result = told_client(talk, talk.request_sent, INNER_ROUTER[4], kind=(3, 4), rest=mtu)
    expected = packets.icmp(VIP4, CLIENT, 3, 4, mtu, talk.request)

    assert is_sent(result, expected, "public")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_no_link_of_ip6_takes_less_than_1280_octets(protocol: str) -> None:
    """Such an error is forged, or broken (C20, RFC 8201 section 4)."""
    talk = converse(protocol, 6)
    for mtu in (0, 68, 1279):
        result = told_client(talk, talk.request_sent, kind=(2, 0), rest=mtu)

        assert is_dropped(result, DropReason.MALFORMED)
    result = told_client(talk, talk.request_sent, kind=(2, 0), rest=1280)
    assert result.verdict is Verdict.FORWARD


@ALL_KINDS
def test_a_wrong_checksum_of_its_own_drops_it(protocol: str, version: int) -> None:
    """A translated one would be right (C3, RFC 5508 REQ-3)."""
    talk = converse(protocol, version)
    error = packets.icmp(
        talk.server, talk.client, *UNREACHABLE[version], 0, talk.quoted(talk.request_sent)
    )
    damaged = error[:-1] + bytes([error[-1] ^ 1])

    assert is_dropped(talk.path.process(damaged, 1.0, FROM_PRIVATE), DropReason.BAD_CHECKSUM)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_wrong_sum_of_the_quoted_header_drops_it(protocol: str) -> None:
    """The outer one right, so that it is this which is judged (C4, RFC 5508 REQ-3 a)."""
    talk = converse(protocol, 4)
    quote = bytearray(talk.request_sent)
    quote[10] ^= 1

    assert is_dropped(told_client(talk, bytes(quote)), DropReason.BAD_CHECKSUM)
    assert is_dropped(told_client(talk, bytes(quote[:28])), DropReason.BAD_CHECKSUM)


@ALL_KINDS
def test_a_wrong_checksum_in_the_quoted_transport_stays_wrong(protocol: str, version: int) -> None:
    """It covers octets that are not quoted: nobody can judge it (C4, RFC 5508 REQ-3 c, I1)."""
    talk = converse(protocol, version)
    result = told_client(talk, talk.request_sent[:-1] + b"?")
    expected = packets.icmp(
        talk.vip, talk.client, *UNREACHABLE[version], 0, talk.request[:-1] + b"?"
    )

    assert is_sent(result, expected, "public")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("options", [b"\x01" * 4, b"\x94\x04\0\0", b"\x07\x27\x04" + bytes(37)])
def test_options_in_the_quote_are_skipped(protocol: str, options: bytes) -> None:
    """The ports are behind them (C4, RFC 5508 REQ-3 b)."""
    talk = converse(protocol, 4)
    header = Header(options=options)
    quotes = []
    for packet in (talk.request_sent, talk.request):
        read = packets.read(packet)
        if protocol == "tcp":
            made = packets.tcp(read.source, read.destination, payload=b"hey", header=header)
        else:
            made = packets.udp(read.source, read.destination, payload=b"hey", header=header)
        quotes.append(made[: 20 + len(options) + 8])
    result = told_client(talk, quotes[0])

    assert is_sent(result, packets.icmp(VIP4, CLIENT, 3, 3, 0, quotes[1]), "public")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    "chain",
    [
        [(60, 8)],
        [(0, 16), (60, 8)],
        [(44, 8)],
        [(51, 12)],
        [(60, 8)] * 8,
    ],
)
def test_extension_headers_in_the_quote_are_skipped(
    protocol: str, chain: list[tuple[int, int]]
) -> None:
    """The twin of options; a fragment header is one that a first piece has."""
    talk = converse(protocol, 6)
    quotes = []
    for packet in (talk.request_sent, talk.request):
        headers, kinds = b"", [*(kind for kind, _ in chain), packet[6]]
        for (kind, length), following in zip(chain, kinds[1:], strict=True):
            said = {44: 0, 51: length // 4 - 2}.get(kind, length // 8 - 1)
            headers += bytes([following, said]) + bytes(length - 2)
        size = len(headers) + len(packet) - 40
        head = packet[:4] + size.to_bytes(2, "big") + bytes([kinds[0]]) + packet[7:40]
        quotes.append((head + headers + packet[40:])[: 40 + len(headers) + 8])
    result = told_client(talk, quotes[0])

    assert is_sent(result, packets.icmp(VIP6, CLIENT6, 1, 4, 0, quotes[1]), "public")


def test_a_datagram_without_checksum_is_quoted_without() -> None:
    """Zero stays zero, also in a quote (C9, U13)."""
    talk = converse("udp", 4)
    sent = packets.read(talk.request_sent)
    quotes = [
        packets.udp(sent.source, end, b"hello", checksum=0)
        for end in (sent.destination, f"{VIP4}:53")
    ]
    result = told_client(talk, quotes[0])

    assert is_sent(result, packets.icmp(VIP4, CLIENT, 3, 3, 0, quotes[1]), "public")


@pytest.mark.parametrize("size", [0, 60, 128, 400])
@pytest.mark.parametrize("octets", [128, 136, 256])
@ALL_KINDS
def test_extensions_stay_as_they_are(protocol: str, version: int, octets: int, size: int) -> None:
    """Octets and checksum: they cover nothing that changes (C5, RFC 4884)."""
    talk = converse(protocol, version, payload=bytes(range(256))[:size] * 2)
    kind = (11, 0) if version == 4 else (3, 0)
    rest, said = extended(version, talk.request_sent, octets, extension_object())
    _, heard = extended(version, talk.request, octets, extension_object())
    result = told_client(talk, said, kind=kind, rest=rest)
    expected = packets.icmp(talk.vip, talk.client, *kind, rest, heard)

    assert is_sent(result, expected, "public")
    assert result.packets[0].endswith(extension_object())


@pytest.mark.parametrize(
    ("version", "kind", "said"),
    [
        *((4, kind, said) for kind in ((3, 1), (11, 0), (12, 0)) for said in (1, 31, 36, 255)),
        *((6, kind, said) for kind in ((1, 0), (3, 0)) for said in (1, 15, 19, 255)),
    ],
)
def test_a_length_that_lies_drops_it(version: int, kind: tuple[int, int], said: int) -> None:
    """Past the end of the error, or less than RFC 4884 has quoted at the least (C5)."""
    talk = converse("udp", version)
    _, text = extended(version, talk.request_sent, 128, extension_object())
    shift = 16 if version == 4 else 24

    result = told_client(talk, text, kind=kind, rest=said << shift)
    assert is_dropped(result, DropReason.MALFORMED)
    result = told_client(talk, text, kind=kind, rest=(128 // (4 if version == 4 else 8)) << shift)
    assert result.verdict is Verdict.FORWARD


@pytest.mark.parametrize(("kind", "rest"), [((2, 0), 5000), ((4, 0), 40 << 24)])
def test_some_errors_of_ip6_have_no_length(kind: tuple[int, int], rest: int) -> None:
    """What stands there is an MTU, or a pointer (RFC 4884 section 4.6)."""
    talk = converse("udp", 6)

    assert told_client(talk, talk.request_sent, kind=kind, rest=rest).verdict is Verdict.FORWARD


@ALL_KINDS
def test_a_quote_of_no_flow_drops_it(protocol: str, version: int) -> None:
    """C10, C11 (CVE-2019-5598), and the wrong side."""
    talk = converse(protocol, version)
    kind = UNREACHABLE[version]
    good, other = talk.request_sent, talk.answer_sent
    at = {4: 20, 6: 40}[version]
    strange = good[: at + 1] + bytes([good[at + 1] ^ 1]) + good[at + 2 :]
    longer = packets.icmp(talk.server, talk.client, *kind, 0, good)
    process = talk.path.process
    unmatched = [
        told_client(talk, strange),
        told_client(talk, good[: at + 7]),
        told_client(talk, good[: at - 1]),
        told_client(talk, b""),
        told_client(talk, bytes([good[0] ^ 0x10]) + good[1:]),
        told_client(talk, talk.answer),  # the client never got it in this form
        told_client(talk, longer),
        told_server(talk, packets.icmp(talk.vip, talk.client, *kind, 0, other)),
        told_server(talk, talk.request),
        # to somebody else than the quote is from
        process(packets.icmp(talk.server, ROUTER[version], *kind, 0, good), 1.0, FROM_PRIVATE),
        # by the other side
        process(packets.icmp(ROUTER[version], talk.client, *kind, 0, good), 1.0, FROM_PUBLIC),
        process(packets.icmp(ROUTER[version], talk.vip, *kind, 0, other), 1.0, FROM_PRIVATE),
    ]

    assert [is_dropped(each, DropReason.ICMP_UNMATCHED) for each in unmatched] == [True] * 12


@pytest.mark.parametrize("fragment", [Header(fragment_offset=1), Header(fragment_offset=0x1FFF)])
def test_a_quoted_later_fragment_drops_it(fragment: Header) -> None:
    """It has no ports: what stands there is somebody's data (C10)."""
    talk = converse("udp", 4)
    sent = packets.read(talk.request_sent)
    quote = packets.udp(sent.source, sent.destination, b"hello", header=fragment)

    assert is_dropped(told_client(talk, quote), DropReason.ICMP_UNMATCHED)


@pytest.mark.parametrize(
    ("fragment", "verdict"),
    [
        (b"\x11\0\0\x00\0\0\0\7", Verdict.FORWARD),
        (b"\x11\0\0\x01\0\0\0\7", Verdict.FORWARD),
        (b"\x11\0\0\x08\0\0\0\7", Verdict.DROP),
        (b"\x11\0\xff\xf9\0\0\0\7", Verdict.DROP),
    ],
)
def test_a_quoted_fragment_of_ip6_is_a_first_or_nothing(fragment: bytes, verdict: Verdict) -> None:
    """The twin."""
    talk = converse("udp", 6)
    packet = talk.request_sent
    quote = packet[:4] + b"\0\x20" + b"\x2c" + packet[7:40] + fragment + packet[40:]

    assert told_client(talk, quote).verdict is verdict


def test_a_quoted_chain_without_end_drops_it() -> None:
    """Or one that is longer than natlb follows."""
    talk = converse("udp", 6)
    packet = talk.request_sent
    for headers in (b"\x3c\0" + bytes(6)) * 9, b"\x11\xff" + bytes(14), b"\x11\0\0\0":
        size = len(headers).to_bytes(2, "big")
        quote = packet[:4] + size + b"\x3c" + packet[7:40] + headers

        assert is_dropped(told_client(talk, quote), DropReason.ICMP_UNMATCHED)


@ALL_KINDS
def test_an_error_of_a_flow_that_has_run_out_is_dropped(protocol: str, version: int) -> None:
    """Also before the sweep has come by."""
    talk = converse(protocol, version)
    error = packets.icmp(talk.server, talk.client, *UNREACHABLE[version], 0, talk.request_sent)

    assert is_dropped(talk.path.process(error, 9000.0, FROM_PRIVATE), DropReason.ICMP_UNMATCHED)


@pytest.mark.parametrize(
    ("version", "kind"),
    [(4, (4, 0)), (4, (5, 0)), (4, (5, 1)), (6, (137, 0)), (6, (5, 0)), (6, (127, 0)), (6, (0, 0))],
)
def test_what_is_no_error_to_translate_is_dropped(version: int, kind: tuple[int, int]) -> None:
    """Source quench, redirects, types that nobody knows (C19, RFC 6633)."""
    talk = converse("tcp", version)

    result = told_client(talk, talk.request_sent, kind=kind)
    assert is_dropped(result, DropReason.UNSUPPORTED)
    result = told_server(talk, talk.answer_sent, kind=kind)
    assert is_dropped(result, DropReason.UNSUPPORTED)


def test_an_error_with_options_is_dropped() -> None:
    """As any packet to a VIP, and of a flow (R4)."""
    talk = converse("tcp", 4)
    result = told_client(talk, talk.request_sent, header=Header(options=b"\1\1\1\0"))

    assert is_dropped(result, DropReason.UNSUPPORTED)


@pytest.mark.parametrize(("ttl", "spent"), [("route", 1), ("own", 1), ("direct", 0)])
@ALL_KINDS
def test_an_error_pays_its_hops(protocol: str, version: int, ttl: Any, spent: int) -> None:
    """As other packets; and nothing is told about one that has none left (C15)."""
    talk = converse(protocol, version, engine(ttl=ttl))
    result = told_client(talk, talk.request_sent, header=Header(ttl=spent))
    assert is_dropped(result, DropReason.TTL_EXPIRED)
    result = told_client(talk, talk.request_sent, header=Header(ttl=spent + 1))

    assert packets.read(result.packets[0]).ttl == spent + 1 - (ttl == "own")
    assert judge.is_sound_error(result.packets[0])


@ALL_KINDS
def test_an_error_that_does_not_fit_is_dropped(protocol: str, version: int) -> None:
    """There is nobody to tell."""
    talk = converse(protocol, version, engine(mtu=1280))
    spare = 1280 - 48 if version == 6 else 1280 - 28

    result = told_client(talk, talk.request_sent.ljust(spare, b"\0"))
    assert result.verdict is Verdict.FORWARD
    result = told_client(talk, talk.request_sent.ljust(spare + 1, b"\0"))
    assert is_dropped(result, DropReason.MTU_EXCEEDED)


@pytest.mark.parametrize("version", [4, 6])
def test_a_backends_address_on_the_public_side_is_forged(version: int) -> None:
    """RFC 2827: a router may have any address, but not that."""
    talk = converse("tcp", version)
    result = told_server(talk, talk.answer_sent, B1 if version == 4 else B1_6)

    assert is_dropped(result, DropReason.MARTIAN)


DIRECT_CASES = [
    (packets.udp(f"{CLIENT}:40000", f"{B1}:9999", b"?"), B1),
    (packets.tcp("198.51.100.9:443", f"{B1}:40000", "SA"), B1),
    (packets.udp(f"[{CLIENT6}]:40000", f"[{B1_6}]:9999", b"?"), B1_6),
    (packets.echo_request("198.51.100.9", B1), B1),
    (packets.ip(ip_address(CLIENT), ip_address(B1), 47, bytes(8)), B1),
]


@pytest.mark.parametrize(("quote", "sender"), DIRECT_CASES)
def test_an_error_of_no_service_goes_on_untouched(quote: bytes, sender: str) -> None:
    """Somebody who talks to a backend directly knows its address; natlb changed nothing."""
    receiver = str(packets.split_endpoint(packets.read(quote).source)[0])
    error = packets.icmp(sender, receiver, *((3, 3) if "." in sender else (1, 4)), 0, quote)
    path = engine()
    result = path.process(error, 0.0, FROM_PRIVATE)

    assert (result.verdict, result.packets, result.sides) == (Verdict.PASS, [error], ["public"])
    assert_counts_agree(path.stats())


def endpoint_of(path: Engine, address: str) -> Any:
    """Return what the tables say of an address, open to change."""
    at = find_endpoint(path._core.tables, lanes_of(address), 0, 0)
    path._core.tables.endpoints.flags.writeable = True
    return path._core.tables.endpoints[at]


def lanes_of(address: str) -> Any:
    """Return an address as the tables have it."""
    key = key_of(f"[{address}]:1" if ":" in address else f"{address}:1", "0.0.0.0:1")
    return tuple(int(key[f"source{lane}"]) for lane in range(4))


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("version", [4, 6])
def test_what_is_of_no_flow_is_the_hosts_where_the_vip_is(version: int) -> None:
    """It may be about a conversation of its own; damage and what is of a flow is not given it."""
    talk = converse("udp", version)
    endpoint_of(talk.path, talk.vip)["kind"] |= SHARED
    strange = packets.udp(
        *(
            ("203.0.113.10:53", "192.0.2.8:1")
            if version == 4
            else (f"[{VIP6}]:53", "[2001:db8::8]:1")
        )
    )
    for quote, kind in (
        (strange, UNREACHABLE[version]),
        (b"", UNREACHABLE[version]),
        (talk.answer_sent, (5, 1) if version == 4 else (137, 0)),
    ):
        error = packets.icmp(ROUTER[version], talk.vip, *kind, 0, quote)
        result = talk.path.process(error, 1.0, FROM_PUBLIC)
        passed = (result.verdict, result.packets, result.sides)

        assert passed == (Verdict.PASS, [error], ["public"])
    error = packets.icmp(ROUTER[version], talk.vip, *UNREACHABLE[version], 0, strange)
    damaged = error[:-1] + bytes([error[-1] ^ 1])

    assert is_dropped(talk.path.process(damaged, 1.0, FROM_PUBLIC), DropReason.BAD_CHECKSUM)
    assert told_server(talk, talk.answer_sent).verdict is Verdict.FORWARD
    # what the host says itself, by the private side: of a port that is no service's, and of one
    for port, verdict in ((99, Verdict.PASS), (53, Verdict.DROP)):
        vip = f"{VIP4}:{port}" if version == 4 else f"[{VIP6}]:{port}"
        client = "192.0.2.8" if version == 4 else "2001:db8::8"
        quote = packets.udp(f"{client}:1" if version == 4 else f"[{client}]:1", vip)
        error = packets.icmp(talk.vip, client, *UNREACHABLE[version], 0, quote)

        assert talk.path.process(error, 1.0, FROM_PRIVATE).verdict is verdict


def craft(
    path: Engine, original: tuple[str, str], reply: tuple[str, str], ways: tuple[int, int]
) -> Any:
    """Put a flow of these keys into an engine's table, and return its row."""
    key = key_of(*original)
    number = insert(path._flows, key, TCP, hash_key(path._flows, key, TCP))
    row = path._flows.rows[number]
    write_reply(path._flows, number, key_of(*reply))
    row["original"]["way"], row["reply"]["way"] = ways
    row["service"] = row["backend"] = 0
    row["seen"] = 0
    assert bind(path._flows, number, ESTABLISHED) == number
    row["actions"] = ACTION_NAT
    return row


SNAT = "10.9.0.200"


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize(("caller", "side"), [(CLIENT, PUBLIC), (B2, PRIVATE)])
def test_full_nat_hides_who_said_it_from_the_backend(caller: str, side: int) -> None:
    """Who may have no way back to it; a hairpin is the case where both are private (C13)."""
    path = engine()
    ends = (f"{caller}:40000", f"{VIP4}:80"), (f"{B1}:8080", f"{SNAT}:2000")
    craft(path, *ends, (PRIVATE, side))
    meta = FROM_PUBLIC if side == PUBLIC else FROM_PRIVATE
    request, sent = packets.tcp(*ends[0]), packets.tcp(SNAT + ":2000", B1 + ":8080")
    answer, answer_sent = packets.tcp(*ends[1], "SA"), packets.tcp(*ends[0][::-1], "SA")

    error = packets.icmp(INNER_ROUTER[4], SNAT, 3, 1, 0, sent)
    result = path.process(error, 0.0, FROM_PRIVATE)
    expected = packets.icmp(VIP4, caller, 3, 1, 0, request)
    assert is_sent(result, expected, ("public", "private")[side])
    error = packets.icmp(caller, VIP4, 3, 3, 0, answer_sent)
    result = path.process(error, 0.0, meta)
    assert is_sent(result, packets.icmp(SNAT, B1, 3, 3, 0, answer), "private")


@pytest.mark.usefixtures("one_by_one")
def test_an_address_of_full_nat_is_a_services_end() -> None:
    """Nobody but natlb has it: no error is from it, none to it or about it is passed."""
    path = engine()
    endpoint_of(path, B2)["kind"] = SOURCE
    quotes = packets.tcp(f"{B2}:2000", f"{B1}:9"), packets.tcp(f"{CLIENT}:2000", f"{B2}:9")
    to_it = packets.icmp(B1, B2, 3, 3, 0, quotes[0])
    about_it = packets.icmp(B1, CLIENT, 3, 3, 0, quotes[1])
    from_it = packets.icmp(B2, CLIENT, 3, 3, 0, quotes[1])

    for error, reason in (
        (to_it, DropReason.ICMP_UNMATCHED),
        (about_it, DropReason.ICMP_UNMATCHED),
        (from_it, DropReason.MARTIAN),
    ):
        assert is_dropped(path.process(error, 0.0, FROM_PRIVATE), reason)


@pytest.mark.usefixtures("one_by_one")
def test_a_direct_conversation_with_a_services_port_is_passed() -> None:
    """Both ways, while natlb remembers it; it is no flow."""
    path = engine()
    row = craft(path, (f"{B1}:8080", f"{CLIENT}:40000"), (f"{B1}:1", f"{B2}:1"), (PUBLIC, PUBLIC))
    row["state"] = DIRECT
    path._core.tables.timeouts.flags.writeable = True
    path._core.tables.timeouts[:, DIRECT] = 1000
    errors = [
        (B1, CLIENT, packets.tcp(f"{CLIENT}:40000", f"{B1}:8080"), FROM_PRIVATE),
        (CLIENT, B1, packets.tcp(f"{B1}:8080", f"{CLIENT}:40000"), FROM_PUBLIC),
    ]
    for now, verdict in ((0.0, Verdict.PASS), (1.0, Verdict.DROP)):
        for sender, receiver, quote, meta in errors:
            error = packets.icmp(sender, receiver, 3, 3, 0, quote)
            assert path.process(error, now, meta).verdict is verdict


@pytest.mark.usefixtures("one_by_one")
def test_an_error_between_versions_is_anothers_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of `crossing_errors.py`, once the flow is found."""
    seen: list[tuple[int, int]] = []

    def cross(_core: Any, i: int, _packet: Any, found: int, _hops: int) -> int:
        seen.append((i, found))
        return int(Verdict.DROP) | int(DropReason.NO_ROUTE) << 8

    monkeypatch.setattr(icmp_errors, "cross_error", cross)
    talk = converse("tcp", 4)
    (number,) = live_rows(talk.path._flows)
    talk.path._flows.rows[number]["actions"] |= ACTION_XLAT

    assert is_dropped(told_client(talk, talk.request_sent), DropReason.NO_ROUTE)
    assert seen == [(0, 1 << 24 | number)]


def test_what_is_no_error_makes_none() -> None:
    """Timestamp, mask and their like to a VIP are not answered either (C19, RFC 5508 REQ-10)."""
    path = engine(one_service())
    for kind in (9, 10, 13, 14, 15, 16, 17, 18):
        result = path.process(packets.icmp(CLIENT, VIP4, kind, payload=bytes(12)), 0.0)

        assert is_dropped(result, DropReason.UNSUPPORTED)
