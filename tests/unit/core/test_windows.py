from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.layout import HALF
from natlb.core.windows import (
    NO_SCALE,
    answer_windows,
    begin_windows,
    confirm_answer,
    follow_windows,
    is_acknowledgement_sound,
    is_expected,
    is_reset_in_window,
    is_reset_next,
    is_within_reach,
)
from natlb.engine import Verdict
from natlb.testing import packets
from tests.conversation import FROM, SCALE, WEB, WORD, Conversation
from tests.kernels import needs_plain_kernels, octets, parsed_of

needs_plain_kernels()

BEGINNINGS = (0, 1000, 0x7FFFFF00, 0x80000000, 0xFFFFFFF0)


def half_of(**fields: int) -> Any:
    """Return a half with these numbers, modulo 2^32."""
    half = np.zeros(1, HALF)[0]
    for name, value in fields.items():
        half[name] = value & WORD
    return half


def segment(**fields: Any) -> tuple[Any, Any]:
    """Return a segment as kernels see it."""
    packet = packets.tcp(FROM, WEB, **fields)
    return octets(packet), parsed_of(packet)


def numbers(half: Any) -> tuple[int, ...]:
    """Return what a half keeps of its end's numbers and windows."""
    names = ("sequence_end", "acknowledged", "window_most", "window_scale")
    return tuple(int(half[name]) for name in names)


def halves(at: int) -> tuple[Any, Any]:
    """Return two ends: 100 octets of this one's and 50 of the other's are not acknowledged."""
    this = half_of(sequence_end=at + 100, acknowledged=at, window_most=1000)
    return this, half_of(sequence_end=at + 50, acknowledged=at, window_most=500)


@pytest.mark.parametrize("at", BEGINNINGS)
def test_reach_goes_a_window_either_way_from_what_was_acknowledged(at: int) -> None:
    """Of the other's window, and one octet to probe it; what begins below it may end inside."""
    this, other = halves(at)
    expected = {-501: False, -500: True, 0: True, 500: True, 501: True, 502: False, 1 << 31: False}
    for off, inside in expected.items():
        assert is_within_reach(this, other, (at + off) & WORD, 0) is inside
    assert is_within_reach(this, other, (at - 501) & WORD, 1)
    assert is_within_reach(this, other, (at + 501) & WORD, 65535)
    assert not is_within_reach(this, other, (at + 502) & WORD, 65535)


@pytest.mark.parametrize("at", BEGINNINGS)
def test_a_sound_acknowledgement_is_of_what_was_sent_not_long_ago(at: int) -> None:
    """RFC 5961 section 5.2, with the largest window that its sender offered."""
    this, other = halves(at)
    expected = {-1001: False, -1000: True, 0: True, 50: True, 51: False, 1 << 31: False}
    for off, sound in expected.items():
        assert is_acknowledgement_sound(this, other, (at + off) & WORD) is sound


@pytest.mark.parametrize("at", BEGINNINGS)
def test_an_expected_acknowledgement_is_not_below_the_last(at: int) -> None:
    """That is what resets and answers to a SYN are held to."""
    _, other = halves(at)
    for off, expected in {-1: False, 0: True, 50: True, 51: False}.items():
        assert is_expected(other, (at + off) & WORD) is expected


@pytest.mark.parametrize("at", BEGINNINGS)
def test_a_resets_number_is_next_or_in_the_window_or_neither(at: int) -> None:
    """Exact is one of two numbers."""
    this, other = halves(at)
    exact = [off for off in range(-600, 600) if is_reset_next(this, (at + off) & WORD)]
    inside = [off for off in range(-600, 600) if is_reset_in_window(this, other, (at + off) & WORD)]

    assert exact == [0, 100]
    assert inside == list(range(501))


@pytest.mark.parametrize("at", BEGINNINGS)
def test_a_sound_segment_moves_numbers_forward_and_never_back(at: int) -> None:
    """Retransmissions, keep-alives and late ACKs leave them; the largest window stays."""
    this, other = halves(at)
    later = {"sequence": at + 100, "acknowledgement": at + 20, "window": 300}

    assert follow_windows(this, other, *segment(flags="FA", payload=b"xyz", **later))
    assert numbers(this)[:3] == ((at + 104) & WORD, at, 1000)
    assert numbers(other)[:3] == ((at + 50) & WORD, (at + 20) & WORD, 500)
    earlier = {"sequence": at - 1, "acknowledgement": at, "window": 2000}
    assert follow_windows(this, other, *segment(flags="A", **earlier))
    assert numbers(this)[:3] == ((at + 104) & WORD, at, 2000)
    assert int(other["acknowledged"]) == (at + 20) & WORD


def test_windows_are_shifted_by_what_both_syns_said() -> None:
    """T12; more than 14 counts as 14 (RFC 7323 section 2.3)."""
    for mine, its, expected in [
        (7, 9, (7, 9)),
        (0, 3, (0, 3)),
        (14, 255, (14, 14)),
        (15, 1, (14, 1)),
        (7, None, (0, 0)),
        (None, 7, (0, 0)),
        (None, None, (0, 0)),
    ]:
        talk = Conversation()
        talk.client("S", options=b"" if mine is None else SCALE + bytes([mine]), window=200)
        assert talk.row["original"]["window_scale"] == (NO_SCALE if mine is None else min(mine, 14))
        talk.backend("SA", options=b"" if its is None else SCALE + bytes([its]), window=300)
        row = talk.row
        assert (row["original"]["window_scale"], row["reply"]["window_scale"]) == expected
        assert (row["original"]["window_most"], row["reply"]["window_most"]) == (200, 300)
        talk.client("A", window=50000)
        talk.backend("A", window=60000)
        assert row["original"]["window_most"] == 50000 << expected[0]
        assert row["reply"]["window_most"] == 60000 << expected[1]


def test_a_syn_is_taken_as_acknowledged_and_its_data_is_not() -> None:
    """T6; an end that offers nothing may still be probed with an octet."""
    half = half_of()
    begin_windows(half, *segment(sequence=0xFFFFFFFF, payload=b"early", window=0))

    assert numbers(half) == (5, 0, 1, NO_SCALE)


def test_a_syn_that_is_repeated_without_its_data_keeps_where_it_ended() -> None:
    """RFC 7413 section 4.1.3: and with more it goes on from there; another number begins anew."""
    half = half_of()
    cases: list[tuple[dict[str, Any], int]] = [
        ({"sequence": 1000, "payload": b"early"}, 1006),
        ({"sequence": 1000}, 1006),
        ({"sequence": 1000, "payload": b"earlier"}, 1008),
        ({"sequence": 900}, 901),
        ({"sequence": 0x90000000}, 0x90000001),
    ]
    for fields, expected in cases:
        begin_windows(half, *segment(**fields))
        assert half["sequence_end"] == expected


def test_a_backend_may_answer_a_repeated_syn_with_another_number() -> None:
    """RFC 4987 section 3.6, SYN cookies: whichever answer reaches the client counts."""
    for arrives in (7000, 0xF0000000):
        original = half_of(sequence_end=1001, acknowledged=1001, window_most=1000)
        reply = half_of()
        for number in (7000, 7000, 0xF0000000, 7000, 0xF0000000):
            fields = {"flags": "SA", "sequence": number, "acknowledgement": 1001}
            assert answer_windows(reply, original, *segment(**fields))
        assert numbers(reply)[:2] == (0xF0000001, 7001)
        for wrong in (7000, 7002, 0, 0xF0000002, 1 << 31):
            assert not confirm_answer(original, reply, wrong)
        assert confirm_answer(original, reply, arrives + 1)
        assert numbers(reply)[:2] == (arrives + 1, arrives + 1)


def test_a_syn_ack_that_is_repeated_changes_nothing() -> None:
    """Not even when data has come behind it already."""
    talk = Conversation().talk("c:S b:SA b:PA")
    talk.backend("A", b"early answer")
    before = numbers(talk.row["reply"])
    talk.backend("SA", window=10)

    assert numbers(talk.row["reply"]) == before
    talk.client("A", acknowledgement=7001)
    assert talk.flow.state == "established"


def test_a_connection_whose_syn_ack_had_data_in_flight_is_acknowledged_anywhere_in_it() -> None:
    """T6: the client may acknowledge the SYN alone, or any of the early answer."""
    for taken in (7001, 7005, 7013):
        talk = Conversation().talk("c:S b:SA")
        talk.backend("A", b"early answer")
        talk.client("A", acknowledgement=taken)
        assert talk.flow.state == "established"


def test_a_scale_that_was_never_agreed_on_shifts_nothing() -> None:
    """A connection that was refused, and whose client says something all the same."""
    talk = Conversation()
    talk.client("S")
    talk.backend("RA", sequence=0, acknowledgement=1001)
    result = talk.client("FA", sequence=1001, acknowledgement=0)

    assert result.verdict is Verdict.FORWARD
    assert talk.row["original"]["window_most"] == 65535
