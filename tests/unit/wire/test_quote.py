from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natlb.testing import packets
from natlb.testing.packets import Header
from natlb.wire.parsed import FRAGMENTED, PARSED, PLAIN
from natlb.wire.quote import LYING, exchange_ends, judge_error, parse_quote, quote_end, quote_start
from natlb.wire.reasons import ACCEPTED, BAD_CHECKSUM, ICMP_UNMATCHED, MALFORMED, UNSUPPORTED
from tests.kernels import frame_of, needs_plain_kernels, octets, parsed_of

needs_plain_kernels()

ENDS = {4: ("198.51.100.2", "203.0.113.10"), 6: ("2001:db8::2", "2001:db8:f::10")}
REFUSALS = {ACCEPTED, BAD_CHECKSUM, ICMP_UNMATCHED, MALFORMED}
DATAGRAM = packets.udp("10.9.0.11:5353", "198.51.100.2:40000", b"hello")
DATAGRAM6 = packets.udp("[fd00:9::11]:5353", "[2001:db8::2]:40000", b"hello")


def parsed_quote(error: bytes) -> tuple[int, Any]:
    """Return the verdict on an error's quote, and what was learnt of it."""
    record = np.full(1, -1, np.int64).repeat(PARSED.itemsize // 8).view(PARSED)[0]
    return parse_quote(octets(error), parsed_of(error), record), record


def quoted(error: bytes) -> bytes:
    """Return the octets that are taken for the quote."""
    parsed = parsed_of(error)
    return error[quote_start(parsed) : quote_end(octets(error), parsed)]


def about(quote: bytes, version: int = 4, rest: int = 0) -> bytes:
    """Return an error that quotes this."""
    return packets.icmp(*ENDS[version], 3 if version == 4 else 1, 1, rest, quote)


@pytest.mark.parametrize(("quote", "version"), [(DATAGRAM, 4), (DATAGRAM6, 6)])
def test_a_quotes_offsets_count_from_its_first_octet(quote: bytes, version: int) -> None:
    """It is a view of its own octets, and nothing else is in reach."""
    error = about(quote, version)
    refusal, record = parsed_quote(error)
    at = packets.transport_at(quote)

    assert refusal == ACCEPTED
    assert quoted(error) == quote
    assert (record["l4"], record["end"], record["version"]) == (at, len(quote), version)
    assert (record["source_port"], record["destination_port"]) == (5353, 40000)
    assert (record["protocol"], record["kind"], record["ttl"]) == (17, PLAIN, 64)
    assert record["dont_fragment"] == 1
    assert record["identification"] == (1 if version == 4 else 0)


def test_the_ends_are_those_of_the_quote_and_exchanged() -> None:
    """What answers the quoted packet is looked for, not what repeats it."""
    for quote, version in ((DATAGRAM, 4), (DATAGRAM6, 6)):
        _, record = parsed_quote(about(quote, version))
        whole, answering = parsed_of(quote), np.zeros(1, PARSED)[0]
        exchange_ends(record, answering)
        for name in (*(f"{lane}" for lane in range(4)), "_port"):
            assert record[f"source{name}"] == whole[f"source{name}"]
            assert record[f"destination{name}"] == whole[f"destination{name}"]
            assert answering[f"source{name}"] == whole[f"destination{name}"]
            assert answering[f"destination{name}"] == whole[f"source{name}"]


def test_a_first_piece_is_known_by_its_mark() -> None:
    """And by the number that its datagram has."""
    header = Header(dont_fragment=False, more_fragments=True, identification=4711)
    _, record = parsed_quote(about(packets.udp("10.9.0.1:1", "198.51.100.2:2", header=header)))

    assert (record["kind"], record["dont_fragment"], record["identification"]) == (
        FRAGMENTED,
        0,
        4711,
    )


def test_zeros_before_extensions_are_not_the_packets() -> None:
    """Its own length says where it ended (RFC 4884 section 4)."""
    text = DATAGRAM.ljust(128, b"\0") + bytes(12)
    refusal, record = parsed_quote(about(text, rest=32 << 16))

    assert (refusal, record["end"]) == (ACCEPTED, len(DATAGRAM))
    error = about(text, rest=31 << 16)
    assert parsed_quote(error)[0] == MALFORMED
    assert quote_end(octets(error), parsed_of(error)) == LYING


@pytest.mark.parametrize(
    ("quote", "version", "refusal"),
    [
        (b"", 4, ICMP_UNMATCHED),
        (DATAGRAM[:19], 4, ICMP_UNMATCHED),
        (DATAGRAM[:27], 4, ICMP_UNMATCHED),
        (DATAGRAM[:28], 4, ACCEPTED),
        (DATAGRAM6[:39], 6, ICMP_UNMATCHED),
        (DATAGRAM6[:47], 6, ICMP_UNMATCHED),
        (DATAGRAM6[:48], 6, ACCEPTED),
        (DATAGRAM6, 4, ICMP_UNMATCHED),
        (b"\x44" + DATAGRAM[1:], 4, ICMP_UNMATCHED),
        (b"\x4f" + DATAGRAM[1:], 4, ICMP_UNMATCHED),
        (DATAGRAM[:11] + b"\0" + DATAGRAM[12:], 4, BAD_CHECKSUM),
        (packets.echo_request(*ENDS[4]), 4, ACCEPTED),
        (packets.echo_request(*ENDS[6]), 6, ACCEPTED),
        (packets.icmp(*ENDS[4], 5, 0), 4, ICMP_UNMATCHED),
        (packets.icmp(*ENDS[6], 2, 0), 6, ICMP_UNMATCHED),
        (packets.icmp(*ENDS[4], 8, 0)[:24], 4, ICMP_UNMATCHED),
    ],
)
def test_a_quote_is_read_or_left(quote: bytes, version: int, refusal: int) -> None:
    """Never past its end."""
    assert parsed_quote(about(quote, version))[0] == refusal


def test_of_another_protocol_nothing_is_asked() -> None:
    """No service carries it, so nothing is looked up in it."""
    ends = [packets.split_endpoint(end)[0] for end in ENDS[4]]
    refusal, record = parsed_quote(about(packets.ip(ends[0], ends[1], 47, b"")))

    assert (refusal, record["source_port"], record["destination_port"]) == (ACCEPTED, 0, 0)


@pytest.mark.parametrize(
    ("error", "form", "refusal"),
    [
        (about(DATAGRAM), {}, ACCEPTED),
        (about(DATAGRAM6, 6), {}, ACCEPTED),
        (packets.icmp(*ENDS[4], 4), {}, UNSUPPORTED),
        (packets.icmp(*ENDS[6], 137), {}, UNSUPPORTED),
        (packets.icmp(*ENDS[6], 0), {}, UNSUPPORTED),
        (packets.icmp(*ENDS[4], 3, header=Header(options=b"\1\1\1\0")), {}, UNSUPPORTED),
        (packets.icmp(*ENDS[4], 3, header=Header(more_fragments=True)), {}, UNSUPPORTED),
        (about(DATAGRAM)[:-1] + b"?", {}, BAD_CHECKSUM),
        (
            about(DATAGRAM6, 6),
            {"needs_checksum": 1, "checksum_start": 40, "checksum_offset": 2},
            BAD_CHECKSUM,
        ),
        (packets.icmp(*ENDS[6], 2, 0, 1279), {}, MALFORMED),
        (packets.icmp(*ENDS[6], 2, 0, 1280), {}, ACCEPTED),
    ],
)
def test_an_error_is_judged_before_its_quote(
    error: bytes, form: dict[str, int], refusal: int
) -> None:
    """Type, form, checksum, and an MTU that cannot be."""
    assert judge_error(octets(error), frame_of(error, **form), parsed_of(error, **form)) == refusal


@settings(deadline=None, max_examples=300)
@given(
    version=st.sampled_from((4, 6)),
    kind=st.integers(1, 12),
    rest=st.integers(0, 0xFFFFFFFF),
    quote=st.binary(max_size=200),
    start=st.sampled_from((b"", DATAGRAM, DATAGRAM6)),
    kept=st.integers(0, 60),
)
def test_no_octets_lead_past_the_end(
    version: int, kind: int, rest: int, quote: bytes, start: bytes, kept: int
) -> None:
    """Whatever is quoted, and whatever the length field says."""
    error = packets.icmp(*ENDS[version], kind, 0, rest, start[:kept] + quote)
    refusal, record = parsed_quote(error)

    assert refusal in REFUSALS
    if refusal == ACCEPTED and record["protocol"] in (6, 17):
        assert record["l4"] + 8 <= record["end"] <= len(quoted(error))
