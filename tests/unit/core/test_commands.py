from __future__ import annotations

from typing import Any

import pytest

from natlb.control.compile.requests import flush_commands
from natlb.core import commands
from natlb.core.batch import OUTPUT, SPARE_SLOTS, start_batch
from natlb.core.commands import GIVEN, ROWS_A_STEP, TAKEN, is_command_waiting, step_command
from natlb.core.layout import ANSWERED, COMMANDS_DONE, OPENING
from natlb.model import FlowFilter
from natlb.testing import packets
from tests import judge
from tests.datapath import (
    CLIENT,
    CLIENT6,
    VIP,
    VIP6,
    assert_counts_agree,
    broken_laws,
    engine,
    live_rows,
)
from tests.kernels import add_flow

WEB, WEB6, DNS = f"{VIP}:80", f"[{VIP6}]:80", f"{VIP}:53"


def opened(path: Any, source: str, vip: str = WEB, *, established: bool = False) -> str:
    """Open a flow with known sequence numbers, 5,001 and 9,001 next; return its backend."""
    packet = packets.udp(source, vip) if vip == DNS else packets.tcp(source, vip, sequence=5000)
    first = path.process(packet, 0.0)
    server = packets.read(first.packets[0]).destination
    if established:
        path.process(packets.tcp(server, source, "SA", sequence=9000, acknowledgement=5001), 0.0)
        path.process(packets.tcp(source, vip, "A", sequence=5001, acknowledgement=9001), 0.0)
    return server


@pytest.mark.parametrize(
    ("source", "vip"),
    [
        (f"{CLIENT}:40000", WEB),
        (f"[{CLIENT6}]:40000", WEB6),
        ("[2001:db8::ffff:c633:6402]:40000", WEB6),  # its last lanes look like IPv4's
        ("[::5:0:ffff:c633:6402]:40000", WEB6),
    ],
)
def test_a_flush_with_reset_tells_both_ends_what_they_believe(source: str, vip: str) -> None:
    """Each reset has the very next number of the side it pretends to be (T19, RFC 5961)."""
    path = engine()
    server = opened(path, source, vip, established=True)
    data = packets.tcp(server, source, "PA", sequence=9001, acknowledgement=5001, payload=b"12345")
    path.process(data, 0.0)
    sent = [packets.read(packet) for packet in path.command("flush --reset", 1.0)]
    to_client = next(each for each in sent if each.destination == source)
    to_backend = next(each for each in sent if each.destination == server)

    assert len(sent) == 2
    assert (to_client.source, to_client.flags) == (vip, "RA")
    assert (to_client.sequence, to_client.acknowledgement) == (9006, 5001)
    assert (to_backend.source, to_backend.flags) == (source, "RA")
    assert (to_backend.sequence, to_backend.acknowledgement) == (5001, 9006)
    assert not path.flows()


def test_resets_are_sound_and_counted_as_sent() -> None:
    """Resets of natlb's own are no packet's fate."""
    path = engine()
    opened(path, f"{CLIENT}:40000", established=True)
    opened(path, f"[{CLIENT6}]:40000", WEB6, established=True)
    before = path.stats().packets.sent
    sent = path.command("flush --reset", 0.0)

    assert all(judge.is_sound(packet) and not packets.faults(packet) for packet in sent)
    assert path.stats().packets.sent == before + len(sent) == before + 4
    assert_counts_agree(path.stats())


def test_who_has_not_answered_yet_is_not_reset() -> None:
    """It would believe no number; the client's SYN is refused, as by a closed port."""
    path = engine()
    opened(path, f"{CLIENT}:40000")
    sent = [packets.read(packet) for packet in path.command("flush --reset", 0.0)]

    assert [each.destination for each in sent] == [f"{CLIENT}:40000"]
    assert (sent[0].flags, sent[0].acknowledgement) == ("RA", 5001)


def test_who_has_answered_a_syn_is_reset_before_it_is_established() -> None:
    """Its number is known: a backend in SYN-RECEIVED must not wait for its timer."""
    path = engine()
    server = opened(path, f"{CLIENT}:40000")
    path.process(packets.tcp(server, f"{CLIENT}:40000", "SA", sequence=9000), 0.0)

    assert path.flows()[0].state == "opening"
    assert len(path.command("flush --reset", 0.0)) == 2


def test_udp_is_never_reset_and_without_the_word_nothing_is() -> None:
    """The flows are gone all the same."""
    path = engine()
    opened(path, f"{CLIENT}:5000", DNS)
    assert path.command("flush --reset", 0.0) == []
    opened(path, f"{CLIENT}:40000", established=True)
    assert path.command("flush", 0.0) == []

    assert not path.flows()
    assert path.stats().flows.closed == 2
    assert not broken_laws(path._flows, path._counters)


def crowd() -> Any:
    """Return an engine with seven flows of all kinds."""
    path = engine()
    opened(path, "198.51.100.2:40000", established=True)
    opened(path, "198.51.100.3:40000", established=True)
    opened(path, "198.51.100.3:40001")
    opened(path, "198.51.101.3:40000")
    opened(path, "198.51.100.2:5000", DNS)
    opened(path, "[2001:db8:c::2]:40000", WEB6)
    opened(path, "[2001:db8:c:1::2]:40000", WEB6, established=True)
    return path


@pytest.mark.parametrize(
    ("words", "flushed"),
    [
        ("", 7),
        ("service=web", 4),
        ("service=dns6", 0),
        ("protocol=udp", 1),
        ("protocol=tcp", 6),
        ("state=established", 3),
        ("state=unreplied", 1),
        ("state=closing", 0),
        ("client=198.51.100.3", 2),
        ("client=198.51.100.0/24", 4),
        ("client=198.51.100.0/23", 5),
        ("client=198.51.100.2/31", 4),
        ("client=0.0.0.0/0", 5),
        ("client=2001:db8:c::/48", 2),
        ("client=2001:db8:c::/63", 2),
        ("client=2001:db8:c::/64", 1),
        ("client=2001:db8:c:1::/127", 0),
        ("client=2001:db8:c:1::2", 1),
        ("client=::/0", 7),
        ("backend=10.9.0.11:8080", 2),
        ("backend=10.9.0.11:8080 state=opening", 1),
        ("service=web backend=10.9.0.12:8080 client=198.51.100.3", 1),
    ],
)
def test_a_filter_means_what_it_names(words: str, flushed: int) -> None:
    """The rest of the flows stays."""
    path = crowd()
    path.command(f"flush {words}", 0.0)

    assert len(path.flows()) == 7 - flushed
    assert not broken_laws(path._flows, path._counters)


def given(path: Any, *, reset: bool) -> Any:
    """Give a flush of everything, without doing it."""
    (command,) = flush_commands(path._indices, FlowFilter(), reset=reset)
    ring = path._commands
    ring.ring[0] = command
    ring.counts[GIVEN] = 1
    return ring


@pytest.mark.usefixtures("one_by_one")
def test_a_command_is_done_in_bounded_pieces() -> None:
    """Packets wait behind each; where it goes on is kept in the command itself."""
    path = engine(max_flows=ROWS_A_STEP + 100)
    for number in range(ROWS_A_STEP + 10):
        add_flow(path._flows, number)
    path._counters.backends[0]["current"] = path._counters.backends[0]["opening"] = ROWS_A_STEP + 10
    path._counters.services[0]["current"] = path._counters.services[0]["opening"] = ROWS_A_STEP + 10
    path._counters.loads[0] = ROWS_A_STEP + 10
    ring = given(path, reset=False)
    start_batch(path._batch, 0)
    step_command(path._core, ring)

    assert is_command_waiting(ring)
    assert len(live_rows(path._flows)) == 10
    assert (ring.ring[0]["position"], ring.ring[0]["done"]) == (ROWS_A_STEP + 1, 0)
    step_command(path._core, ring)
    assert not is_command_waiting(ring)
    assert (ring.ring[0]["flushed"], ring.ring[0]["done"]) == (ROWS_A_STEP + 10, 1)
    assert path._counters.totals[COMMANDS_DONE] == 1
    assert not broken_laws(path._flows, path._counters)


@pytest.mark.usefixtures("one_by_one")
def test_resets_wait_for_room_in_the_batch() -> None:
    """There are so many slots for packets of natlb's own; a reset must not be lost."""
    path = engine()
    for port in range(40000, 40050):
        opened(path, f"{CLIENT}:{port}", established=True)
    ring = given(path, reset=True)
    rounds = []
    while is_command_waiting(ring):
        start_batch(path._batch, 0)
        step_command(path._core, ring)
        rounds.append(int(path._batch.numbers[OUTPUT]))

    assert rounds == [SPARE_SLOTS, 100 - SPARE_SLOTS]
    assert (ring.ring[0]["flushed"], ring.ring[0]["resets"]) == (50, 100)


@pytest.mark.usefixtures("one_by_one")
def test_nothing_given_is_nothing_done() -> None:
    """The ring is looked at between any two batches."""
    path = engine()
    start_batch(path._batch, 0)
    step_command(path._core, path._commands)

    assert path._commands.counts[TAKEN] == 0
    assert path._counters.totals[COMMANDS_DONE] == 0


@pytest.mark.usefixtures("one_by_one")
def test_a_flush_of_a_state_names_it_by_number() -> None:
    """So names are resolved once, by control."""
    path = engine()
    (command,) = flush_commands(path._indices, FlowFilter(state="opening"), reset=False)

    assert command["state"] == 1 << OPENING | 1 << ANSWERED


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("bits", range(-3, 36))
def test_a_prefix_agrees_lane_by_lane(bits: int) -> None:
    """No bit of a lane is compared that the prefix does not reach; none is left out."""
    for differing in range(32):
        other = 0x12345678 ^ 1 << 31 - differing
        assert commands._agree(0x12345678, other, bits) is (differing >= bits)
