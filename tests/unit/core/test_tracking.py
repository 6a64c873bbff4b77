from __future__ import annotations

from typing import Any

import pytest

from natlb.core.layout import (
    ANSWERED,
    CLOSING,
    DETACHED,
    ESTABLISHED,
    HALF_ORIGINAL,
    HALF_REPLY,
    MARK_DOUBTED,
    OPENING,
    REPLIED,
    UNREPLIED,
)
from natlb.core.tracking import first_state, is_confirmed, is_opener
from natlb.engine import Verdict
from natlb.testing import packets
from natlb.wire.fields import ACK, SYN, TCP, UDP
from tests.conversation import FROM, WEB, Conversation
from tests.datapath import VIP, broken_laws, engine

# Segments in order, each as who sends it and its flags, and the state after the last
TALKS = {
    "c:S": OPENING,
    "c:S c:S": OPENING,
    "c:S c:S b:SA": ANSWERED,
    "c:S b:SA b:SA c:S": ANSWERED,
    "c:S b:SA c:A": ESTABLISHED,
    "c:S b:SA c:PA": ESTABLISHED,
    "c:S b:SA b:PA": ANSWERED,  # early, as RFC 7413 lets it
    "c:S b:SA b:PA c:A": ESTABLISHED,
    "c:S c:A": OPENING,  # an ACK of nothing
    "c:S b:A": OPENING,  # a challenge, not a SYN-ACK
    "c:S b:FA": OPENING,
    "c:S b:SA c:A c:FA": HALF_ORIGINAL,
    "c:S b:SA c:A c:FA b:A b:PA c:A": HALF_ORIGINAL,
    "c:S b:SA c:A b:FA": HALF_REPLY,
    "c:S b:SA c:A b:FA c:A c:PA b:A": HALF_REPLY,
    "c:S b:SA c:A c:FA b:FA": CLOSING,
    "c:S b:SA c:A b:FA c:FA": CLOSING,
    "c:S b:SA c:A c:FA c:FA b:A": HALF_ORIGINAL,  # one FIN twice is one
    "c:S b:SA c:A c:FA b:FA c:A b:A": CLOSING,
    "c:S b:SA c:A c:FA b:FA c:FA b:FA": CLOSING,
    "c:S b:SA c:FA": HALF_ORIGINAL,  # its ACK and its FIN in one
    "c:S b:SA c:FA b:FA": CLOSING,
    "c:S b:SA b:FA": HALF_REPLY,  # all of the answer before the client's ACK
    "c:S b:SA b:FA c:FA": CLOSING,
    "c:S b:RA": CLOSING,
    "c:S c:R": CLOSING,
    "c:S b:R": OPENING,  # one that acknowledges nothing answers no SYN
    "c:S b:SA c:R": CLOSING,
    "c:S b:SA c:RA": CLOSING,
    "c:S b:SA b:RA": CLOSING,
    "c:S b:SA b:R": CLOSING,
    "c:S b:SA c:A b:R": CLOSING,
    "c:S b:SA c:A c:FA b:R": CLOSING,
    "c:S b:SA c:A c:RA b:PA": CLOSING,
    "c:S b:SA c:A c:RA b:RA": CLOSING,
    "c:S b:SA c:A c:S b:A": ESTABLISHED,  # a SYN inside (T8)
    "c:S b:SA c:A b:SA": ESTABLISHED,  # of an old incarnation (T11)
    "c:S b:S c:SA b:A": OPENING,  # simultaneous open reaches no VIP's backend
}


@pytest.mark.parametrize("words", TALKS)
def test_segments_lead_to_a_state(words: str) -> None:
    """Each is forwarded, whatever it does to the state (T1, T20)."""
    talk = Conversation()
    for word in words.split():
        talk.talk(word)
    path = talk.path

    assert talk.row["state"] == TALKS[words]
    assert path.stats().packets.forwarded == len(words.split())
    opening = sum(backend.flows.opening for backend in path.backends())
    assert opening == (TALKS[words] in (OPENING, ANSWERED))


@pytest.mark.parametrize("firsts", [(0xFFFFFFFF, 0), (0xFFFFFF00, 0x7FFFFFFF), (0, 0xFFFFFFFE)])
@pytest.mark.parametrize("words", TALKS)
def test_the_same_happens_wherever_numbers_begin(words: str, firsts: tuple[int, int]) -> None:
    """T12: numbers wrap."""
    talk = Conversation(firsts=firsts).talk(words)

    assert talk.row["state"] == TALKS[words]


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


@pytest.mark.parametrize(
    ("who", "flags", "fields"),
    [
        ("client", "S", {}),
        ("client", "S", {"sequence": 99999}),
        ("backend", "SA", {}),
        ("backend", "SA", {"sequence": 99999}),
        ("backend", "S", {}),
    ],
)
def test_a_syn_inside_a_connection_changes_nothing_of_it(
    who: str, flags: str, fields: dict[str, Any]
) -> None:
    """T8, T11: it goes to the same end, not even the timer hears of it, and its answer passes."""
    talk = Conversation().established()
    before = talk.row.copy()
    server = talk.server

    assert not talk.is_refreshed_by(who, flags, **fields)
    assert talk.server == server
    assert talk.row["state"] == before["state"]
    for name in ("sequence_end", "acknowledged", "window_most", "window_scale"):
        assert talk.row["original"][name] == before["original"][name]
        assert talk.row["reply"][name] == before["reply"][name]
    assert talk.is_refreshed_by("backend")  # the challenge
    assert talk.is_refreshed_by("client", "PA", b"on it goes")


@pytest.mark.parametrize("who", ["client", "backend"])
def test_only_the_very_next_number_resets(who: str) -> None:
    """T7: or what the receiver has acknowledged, where what was sent since is lost behind natlb."""
    for lost in (b"", b"x" * 100):
        talk = Conversation().established()
        getattr(talk, who)("PA", lost)
        at = talk.next[who == "backend"]
        for number in {at, at - len(lost)}:
            again = Conversation().established()
            getattr(again, who)("PA", lost)
            getattr(again, who)("R", sequence=number)
            assert again.row["state"] == CLOSING


@pytest.mark.parametrize("who", ["client", "backend"])
@pytest.mark.parametrize("off", [1, 10, 65535])
def test_a_reset_in_the_window_makes_a_flow_doubted_until_data_comes(who: str, off: int) -> None:
    """T7: the short timer runs from the first such reset on, and data of either end undoes it."""
    for proof in ("client", "backend"):
        talk = Conversation().established()
        at = talk.next[who == "backend"]
        assert talk.is_refreshed_by(who, "R", sequence=at + off)
        assert (talk.flow.state, talk.flow.expires_seconds) == ("established", 240)
        assert not talk.is_refreshed_by(who, "R", sequence=at + off)
        assert talk.flow.expires_seconds == 239
        assert talk.is_refreshed_by(proof, "PA", b"alive")
        assert talk.flow.expires_seconds == 7440
        assert not talk.row["marks"] & MARK_DOUBTED


def test_a_doubted_flow_is_gone_when_the_short_timer_has_run() -> None:
    """And not before; by the sweep, and where a packet comes first."""
    talk = Conversation().established()
    talk.client("R", sequence=talk.next[0] + 10)
    talk.path.tick(239.9)
    assert talk.path.flows()
    talk.path.tick(242.1)

    assert not talk.path.flows()
    again = Conversation().established()
    again.client("R", sequence=again.next[0] + 10)
    late = again.path.process(packets.tcp(FROM, WEB, "A"), 240.0)
    assert late.verdict is Verdict.REPLY


@pytest.mark.parametrize("who", ["client", "backend"])
@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ("R", {"sequence": lambda at: at - 1}),
        ("R", {"sequence": lambda at: at + 65536}),
        ("R", {"sequence": lambda at: at + (1 << 31)}),
        ("RA", {"acknowledgement": lambda _: 0}),
        ("RA", {"sequence": lambda at: at + 10, "acknowledgement": lambda _: 0}),
        ("RA", {"sequence": lambda _: 0}),
    ],
)
def test_any_other_reset_changes_nothing(who: str, flags: str, fields: dict[str, Any]) -> None:
    """T7: out of the window, or with an acknowledgement of what nobody sent."""
    talk = Conversation().established()
    at = talk.next[who == "backend"]
    numbers = {name: make(at) for name, make in fields.items()}

    assert not talk.is_refreshed_by(who, flags, **numbers)
    assert (talk.row["state"], talk.row["marks"] & MARK_DOUBTED) == (ESTABLISHED, 0)


def test_the_window_of_a_reset_is_the_scaled_one() -> None:
    """T12: a window of a gigabyte is one."""
    talk = Conversation()
    scale = bytes([3, 3, 14])
    talk.client("S", options=scale)
    talk.backend("SA", options=scale)
    talk.client("A", window=65535)
    talk.backend("R", sequence=talk.next[1] + (65535 << 14) + 1)
    assert not talk.row["marks"] & MARK_DOUBTED
    talk.backend("R", sequence=talk.next[1] + (65535 << 14))

    assert talk.row["marks"] & MARK_DOUBTED


@pytest.mark.parametrize(
    ("acknowledged", "expected"), [(0, OPENING), (1000, OPENING), (1001, CLOSING), (1011, CLOSING)]
)
def test_a_refusal_is_judged_by_what_it_acknowledges(acknowledged: int, expected: int) -> None:
    """It has no number of its own: the SYN, or as much as came with it (RFC 9293, 3.10.7.3)."""
    talk = Conversation()
    talk.client("S", b"early data")
    talk.backend("RA", sequence=0, acknowledgement=acknowledged)

    assert talk.row["state"] == expected


def test_a_refusal_of_a_syn_that_was_repeated_is_one_too() -> None:
    """The backend may have forgotten that it had answered."""
    talk = Conversation().talk("c:S b:SA c:S")
    talk.backend("RA", sequence=0, acknowledgement=5)
    assert talk.row["state"] == ANSWERED
    talk.backend("RA", sequence=0, acknowledgement=1001)

    assert talk.row["state"] == CLOSING


@pytest.mark.parametrize("words", ["c:S c:R", "c:S b:RA"])
def test_windows_of_a_connection_that_was_never_answered_are_not_scaled(words: str) -> None:
    """The SYN had no such option: what comes late is plain."""
    talk = Conversation().talk(words)
    assert talk.row["state"] == CLOSING
    late = talk.client("A", sequence=1001, acknowledgement=0, window=65535)

    assert late.verdict is Verdict.FORWARD
    assert talk.row["original"]["window_most"] == 65535


def test_a_client_that_resets_an_old_connection_goes_on_with_the_new_one() -> None:
    """T11: the backend still has the old one, and challenges the SYN (RFC 9293, figure 10)."""
    talk = Conversation().talk("c:S")
    talk.backend("A", sequence=5000, acknowledgement=300)
    talk.client("R", sequence=300)
    assert talk.row["state"] == OPENING

    assert talk.established().row["state"] == ESTABLISHED


@pytest.mark.parametrize("acknowledged", [0, 1000, 1002, 1001 + (1 << 31)])
def test_a_syn_ack_of_an_old_incarnation_answers_nothing(acknowledged: int) -> None:
    """T11: what it acknowledges is not this SYN."""
    talk = Conversation().talk("c:S")

    assert not talk.is_refreshed_by("backend", "SA", acknowledgement=acknowledged)
    assert talk.row["state"] == OPENING
    assert talk.talk("b:SA c:A").row["state"] == ESTABLISHED


@pytest.mark.parametrize("acknowledged", [0, 7000, 7002, 7001 - 65535])
def test_an_ack_of_what_the_backend_never_sent_establishes_nothing(acknowledged: int) -> None:
    """Whoever forges a SYN does not see its answer, and may not fill the table for two hours."""
    talk = Conversation().talk("c:S b:SA")

    assert not talk.is_refreshed_by("client", "A", acknowledgement=acknowledged)
    assert talk.row["state"] == ANSWERED
    assert talk.talk("c:A").row["state"] == ESTABLISHED


@pytest.mark.parametrize("who", ["client", "backend"])
@pytest.mark.parametrize("flags", ["A", "FA"])
@pytest.mark.parametrize(
    "fields",
    [
        {"sequence": 65536 + 1},
        {"sequence": -65536 - 2},
        {"acknowledgement": 1},
        {"acknowledgement": -65536},
        {"sequence": 1 << 30, "acknowledgement": 1 << 30},
    ],
)
def test_what_is_out_of_reach_is_forwarded_and_changes_nothing(
    who: str, flags: str, fields: dict[str, int]
) -> None:
    """T9, trap 4: not the state, the numbers or the timer; and translated all the same."""
    talk = Conversation().established()
    before = talk.row.copy()
    at = talk.next if who == "client" else talk.next[::-1]
    base = {"sequence": at[0], "acknowledgement": at[1]}
    numbers = {name: base[name] + off for name, off in fields.items()}

    talk.now += 1
    result = getattr(talk, who)(flags, b"x", **numbers)
    assert result.verdict is Verdict.FORWARD
    seen = packets.read(result.packets[0])
    assert (seen.source == WEB) if who == "backend" else (seen.destination == talk.server)
    assert talk.flow.idle_seconds == 1
    assert talk.row["state"] == before["state"]
    for name in ("sequence_end", "acknowledged", "window_most"):
        assert talk.row["original"][name] == before["original"][name]
        assert talk.row["reply"][name] == before["reply"][name]


@pytest.mark.parametrize("who", ["client", "backend"])
def test_keepalives_and_probes_refresh(who: str) -> None:
    """T18: one octet back with none or one, and one octet into a closed window."""
    talk = Conversation().established()
    other = "backend" if who == "client" else "client"
    getattr(talk, who)("PA", b"x" * 65000)
    getattr(talk, other)("A", window=0)
    at = talk.next[who == "backend"]

    assert talk.is_refreshed_by(who, "A", sequence=at - 1)
    assert talk.is_refreshed_by(who, "A", b"x", sequence=at - 1)
    assert talk.is_refreshed_by(other, "A", window=0)
    assert talk.is_refreshed_by(who, "A", b"x")
    assert talk.is_refreshed_by(other, "A", window=0, acknowledgement=at)


@pytest.mark.parametrize("who", ["client", "backend"])
def test_ends_that_both_have_moved_on_are_followed(who: str) -> None:
    """What natlb keeps must not be wrong for good: one sends from there, the other says so."""
    talk = Conversation().established()
    other = "backend" if who == "client" else "client"
    talk.next[who == "backend"] += 1 << 24

    assert not talk.is_refreshed_by(who, "PA", b"from far")
    assert talk.is_refreshed_by(other)
    assert talk.is_refreshed_by(who, "PA", b"goes on")
    assert talk.is_refreshed_by(other, "PA", b"answered")


@pytest.mark.parametrize("who", ["client", "backend"])
def test_one_end_alone_can_move_no_number(who: str) -> None:
    """Nor can one who forges the segments of one end; what is far behind is no proof either."""
    talk = Conversation().established()
    other = "backend" if who == "client" else "client"
    mine, its = talk.next if who == "client" else talk.next[::-1]
    far = 1 << 24

    assert not talk.is_refreshed_by(other, acknowledgement=mine + far)
    for _ in range(3):
        assert not talk.is_refreshed_by(who, "A", b"x", sequence=mine + far)
        assert not talk.is_refreshed_by(who, "A", acknowledgement=its + far)
    assert not talk.is_refreshed_by(other, acknowledgement=mine - far)
    assert not talk.is_refreshed_by(other, sequence=its + far, acknowledgement=mine + far)
    assert talk.is_refreshed_by(who, "PA", b"x")
    assert not talk.is_refreshed_by(other, acknowledgement=mine + far)


@pytest.mark.usefixtures("one_by_one")
def test_states_begin_by_protocol_and_openers_are_syns() -> None:
    """A SYN with ACK is an answer, and no VIP asked anything."""
    assert (first_state(TCP), first_state(UDP)) == (OPENING, UNREPLIED)
    for flags in range(256):
        assert is_opener(flags) is bool(flags & SYN and not flags & ACK)


@pytest.mark.usefixtures("one_by_one")
def test_a_flow_is_confirmed_by_both_ends() -> None:
    """One that was refused is not: under pressure it makes room like one that was not answered."""
    for state in range(16):
        expected = state in (ESTABLISHED, HALF_ORIGINAL, HALF_REPLY, REPLIED)
        assert is_confirmed(state) is expected
    assert not is_confirmed(DETACHED)


@pytest.mark.parametrize(
    ("words", "timer"),
    [
        ("c:S", 20),
        ("c:S b:SA", 20),
        ("c:S b:SA c:A", 500),
        ("c:S b:SA c:A c:FA", 500),
        ("c:S b:SA c:A b:FA b:FA", 500),
        ("c:S b:SA c:A c:FA b:FA", 30),
        ("c:S b:RA", 30),
    ],
)
def test_each_state_lives_by_its_own_timer(words: str, timer: int) -> None:
    """T4, T20: as the service says; gone at most two seconds after it."""
    timeouts = {"tcp_opening": 20, "tcp_established": 500, "tcp_transitory": 30}
    talk = Conversation(engine(timeouts=timeouts)).talk(words)

    assert talk.flow.expires_seconds == timer
    talk.path.tick(timer - 0.1)
    assert talk.path.flows()
    talk.path.tick(timer + 2)
    assert not talk.path.flows()
    assert not broken_laws(talk.path._flows, talk.path._counters)
