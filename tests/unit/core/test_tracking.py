from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.flow_table import ORIGINAL, REPLY
from natlb.core.layout import CLOSING, ESTABLISHED, HALF, OPENING, ROW
from natlb.core.tracking import first_state, follow_sequence, is_opener, next_state
from natlb.engine import Verdict
from natlb.testing import packets
from natlb.wire.fields import ACK, FIN, RST, SYN, TCP, UDP
from tests.datapath import CLIENT, VIP, engine
from tests.kernels import octets, parsed_of

FROM, WEB = f"{CLIENT}:40000", f"{VIP}:80"

# Segments in order, each as who sends it and its flags, and the state after the last
TALKS = {
    "c:S": "opening",
    "c:S c:S b:SA": "opening",
    "c:S b:SA c:A": "established",
    "c:S b:SA c:PA": "established",
    "c:S c:A": "opening",  # an ACK of nothing
    "c:S b:A": "opening",  # a challenge, not a SYN-ACK
    "c:S b:SA c:A c:FA": "established",  # half-closed
    "c:S b:SA c:A c:FA b:A b:PA c:A": "established",
    "c:S b:SA c:A b:FA": "established",
    "c:S b:SA c:A c:FA b:FA": "closing",
    "c:S b:SA c:A b:FA c:FA": "closing",
    "c:S b:SA c:A c:FA c:FA b:A": "established",  # one FIN twice is one
    "c:S b:SA c:A c:FA b:FA c:A b:A": "closing",
    "c:S b:RA": "closing",
    "c:S c:R": "closing",
    "c:S b:SA c:A b:R": "closing",
    "c:S b:SA c:A c:RA b:PA": "closing",
    "c:S b:SA c:A c:S b:A": "established",  # a SYN inside (T8)
    "c:S b:SA c:A b:SA": "established",  # of an old incarnation (T11)
    "c:S b:SA c:FA b:FA": "closing",
    "c:S b:S c:SA b:A": "opening",  # simultaneous open reaches no VIP's backend
}


@pytest.mark.parametrize("talk", TALKS)
def test_segments_lead_to_a_state(talk: str) -> None:
    """Each is forwarded, whatever it does to the state (T1, T20)."""
    path = engine()
    server = ""
    for segment in talk.split():
        who, _, flags = segment.partition(":")
        ends = (FROM, WEB) if who == "c" else (server, FROM)
        result = path.process(packets.tcp(*ends, flags), 0.0)
        assert result.verdict is Verdict.FORWARD
        server = server or packets.read(result.packets[0]).destination
    flows = path.flows()

    assert [flow.state for flow in flows] == [TALKS[talk]]
    opening = [backend.flows.opening for backend in path.backends()]
    assert sum(opening) == (TALKS[talk] == "opening")


def test_a_udp_flow_is_replied_once_it_was_answered() -> None:
    """And stays so: its longer timer is earned once."""
    path = engine()
    ends = FROM, f"{VIP}:53"
    server = packets.read(path.process(packets.udp(*ends), 0.0).packets[0]).destination
    states = [path.flows()[0].state]
    for packet in (packets.udp(*ends), packets.udp(server, FROM), packets.udp(*ends)):
        path.process(packet, 0.0)
        states.append(path.flows()[0].state)

    assert states == ["unreplied", "unreplied", "replied", "replied"]


def test_a_syn_on_a_closing_flow_is_a_new_flow_at_once() -> None:
    """T10, trap 3: no SYN is swallowed, and another backend may get it."""
    path = engine()
    first = packets.read(path.process(packets.tcp(FROM, WEB), 0.0).packets[0]).destination
    path.process(packets.tcp(first, FROM, "RA"), 0.0)
    result = path.process(packets.tcp(FROM, WEB, "S", sequence=99999), 0.0)
    second = packets.read(result.packets[0]).destination

    assert result.verdict is Verdict.FORWARD
    assert second != first  # round robin
    assert [flow.state for flow in path.flows()] == ["opening"]
    assert (path.stats().flows.opened, path.stats().flows.closed) == (2, 1)


@pytest.mark.parametrize("flags", ["SA", "A", "FA", "R"])
def test_what_is_no_opener_does_not_begin_a_closing_flow_anew(flags: str) -> None:
    """Late segments still reach the old backend."""
    path = engine()
    first = packets.read(path.process(packets.tcp(FROM, WEB), 0.0).packets[0]).destination
    path.process(packets.tcp(first, FROM, "RA"), 0.0)
    result = path.process(packets.tcp(FROM, WEB, flags), 0.0)

    assert packets.read(result.packets[0]).destination == first
    assert path.stats().flows.opened == 1


def test_a_backends_syn_does_not_begin_a_closing_flow_anew() -> None:
    """Only the client opens."""
    path = engine()
    first = packets.read(path.process(packets.tcp(FROM, WEB), 0.0).packets[0]).destination
    path.process(packets.tcp(first, FROM, "RA"), 0.0)
    result = path.process(packets.tcp(first, FROM, "S"), 0.0)

    assert packets.read(result.packets[0]).source == WEB
    assert path.flows()[0].state == "closing"


@pytest.mark.usefixtures("one_by_one")
def test_states_begin_by_protocol_and_openers_are_syns() -> None:
    """A SYN with ACK is an answer, and no VIP asked anything."""
    assert first_state(TCP) == OPENING
    assert first_state(UDP) != OPENING
    for flags in range(256):
        assert is_opener(flags) is bool(flags & SYN and not flags & ACK)


@pytest.mark.usefixtures("one_by_one")
def test_a_state_that_was_closing_stays_so() -> None:
    """Whatever comes: only the timer or a new SYN ends it."""
    for flags in (ACK, FIN | ACK, RST, SYN | ACK, SYN):
        for direction in (ORIGINAL, REPLY):
            row = np.zeros(1, ROW)[0]
            row["state"] = CLOSING
            assert next_state(row, flags, TCP, direction) == CLOSING


@pytest.mark.usefixtures("one_by_one")
def test_established_needs_a_syn_ack_first() -> None:
    """The mark is set by the reply direction alone."""
    row = np.zeros(1, ROW)[0]
    row["state"] = OPENING
    assert next_state(row, SYN | ACK, TCP, ORIGINAL) == OPENING
    assert next_state(row, ACK, TCP, ORIGINAL) == OPENING
    assert next_state(row, SYN | ACK, TCP, REPLY) == OPENING
    assert next_state(row, ACK, TCP, REPLY) == OPENING
    assert next_state(row, ACK, TCP, ORIGINAL) == ESTABLISHED


def reached(half: Any, **fields: Any) -> int:
    """Return the highest sequence number of a direction after one more segment."""
    packet = packets.tcp(FROM, WEB, **fields)
    follow_sequence(half, octets(packet), parsed_of(packet))
    half["packets"] += 1
    return int(half["sequence_end"])


@pytest.mark.usefixtures("one_by_one")
def test_the_highest_sequence_number_is_kept() -> None:
    """Across the wrap, over retransmissions and keep-alives (T12, T18)."""
    half = np.zeros(1, HALF)[0]

    assert reached(half, flags="S", sequence=0xFFFFFF00) == 0xFFFFFF01
    assert reached(half, flags="A", sequence=0xFFFFFF01, payload=bytes(0x100)) == 1
    assert reached(half, flags="A", sequence=0xFFFFFF01, payload=b"again") == 1
    assert reached(half, flags="A", sequence=0) == 1  # a keep-alive
    assert reached(half, flags="FA", sequence=1) == 2
    assert reached(half, flags="A", sequence=0x80000001) == 0x80000001
    assert reached(half, flags="A", sequence=1) == 0x80000001


@pytest.mark.usefixtures("one_by_one")
def test_a_first_segment_sets_the_number_wherever_it_lies() -> None:
    """Half of all initial numbers are "behind" zero."""
    for sequence in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        half = np.zeros(1, HALF)[0]
        assert reached(half, flags="S", sequence=sequence) == (sequence + 1) & 0xFFFFFFFF
