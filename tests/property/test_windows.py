"""Two honest ends, as plain Python has them, and what is kept of them on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from natlb.core.flow_table import ORIGINAL, REPLY
from natlb.core.layout import ESTABLISHED, OPENING, ROW
from natlb.core.tracking import UNSOUND, follow_segment
from natlb.testing import packets
from tests.kernels import needs_plain_kernels, octets, parsed_of

needs_plain_kernels()

WORD = 0xFFFFFFFF
ENDS = "198.51.100.2:40000", "203.0.113.10:80"
FIRST = st.one_of(st.integers(0, WORD), st.integers(WORD - 200_000, WORD), st.integers(0, 9))
SCALE = st.one_of(st.none(), st.integers(0, 14))
WINDOW = st.one_of(st.just(0), st.integers(0, 65535), st.just(65535))


class End:
    """One end of a connection: numbers are counted from its SYN, and never wrap here."""

    def __init__(self, first: int, scale: int | None) -> None:
        """Begin with an initial sequence number and what its SYN says of windows."""
        self.first, self.scale = first, scale
        self.sent = 1  # SND.NXT, behind the SYN
        self.taken = 1  # RCV.NXT, behind the other's SYN
        self.acknowledged = 1  # SND.UNA
        self.may_send = 1  # SND.UNA + SND.WND, at its highest
        self.offered = 1  # RCV.NXT + RCV.WND, at its highest


class Connection:
    """A handshake, then whatever a test lets its ends do; `row` is what natlb keeps."""

    def __init__(self, client: End, backend: End) -> None:
        """Shake hands."""
        self.ends = client, backend
        self.row = np.zeros(1, ROW)[0]
        self.row["state"] = OPENING
        self.shift = [0, 0]
        scales = client.scale, backend.scale
        if None not in scales:
            self.shift = [scale or 0 for scale in scales]
        for who, flags in enumerate(("S", "SA")):
            end = self.ends[who]
            options = b"" if end.scale is None else bytes([3, 3, end.scale])
            self.pass_on(who, flags, 0, options=options, acknowledgement=1 if who else None)
            self.take(1 - who, 1, 1000)
            end.offered = 1 + 1000
        assert self.pass_on(ORIGINAL, "A", 1) == ESTABLISHED

    def pass_on(self, who: int, flags: str, at: int, octets_sent: int = 0, **fields: Any) -> int:
        """Have natlb see a segment, its numbers counted from the SYNs; return its verdict."""
        end, other = self.ends[who], self.ends[1 - who]
        acknowledged = fields.pop("acknowledgement", end.taken)
        packet = packets.tcp(
            *(ENDS if who == ORIGINAL else ENDS[::-1]),
            flags,
            sequence=end.first + at,
            acknowledgement=0 if acknowledged is None else other.first + acknowledged,
            window=fields.pop("window", 1000),
            payload=bytes(octets_sent),
            **fields,
        )
        state = follow_segment(self.row, octets(packet), parsed_of(packet), who)
        if state != UNSOUND:
            self.row["state"] = state
        return state

    def take(self, who: int, acknowledged: int, window: int) -> None:
        """Let an end receive an acknowledgement."""
        end = self.ends[who]
        end.acknowledged = max(end.acknowledged, acknowledged)
        end.may_send = max(end.may_send, acknowledged + window)


@given(st.data(), FIRST, FIRST, SCALE, SCALE)
def test_what_honest_ends_send_in_order_is_always_sound(
    data: st.DataObject, first: int, other_first: int, scale: int | None, other_scale: int | None
) -> None:
    """Whatever the windows, losses behind natlb, super-packets and wraps (T9, T12, T18)."""
    talk = Connection(End(first, scale), End(other_first, other_scale))
    for _ in range(data.draw(st.integers(1, 25))):
        who = data.draw(st.sampled_from([ORIGINAL, REPLY]))
        end, other = talk.ends[who], talk.ends[1 - who]
        window = data.draw(WINDOW)
        kind = data.draw(st.sampled_from(["new", "again", "alive", "probe", "ack"]))
        at, length = end.sent, 0
        if kind == "new":
            length = min(data.draw(st.integers(0, 65000)), max(0, end.may_send - at))
        elif kind == "again":
            at = data.draw(st.integers(end.acknowledged, end.sent))
            length = end.sent - at if end.sent - at < 65000 else 1000
        elif kind == "alive":
            at, length = end.sent - 1, data.draw(st.integers(0, 1))
        elif kind == "probe":
            at, length = min(end.sent, end.may_send), 1
        assert talk.pass_on(who, "A", at, length, window=window) == ESTABLISHED
        end.sent = max(end.sent, at + length)
        end.offered = max(end.offered, end.taken + (window << talk.shift[who]))
        if data.draw(st.booleans()):  # else it is lost behind natlb
            talk.take(1 - who, end.taken, window << talk.shift[who])
            if at <= other.taken <= at + length <= other.offered:
                other.taken = at + length
    for who, name in enumerate(("original", "reply")):
        end = talk.ends[who]
        assert talk.row[name]["sequence_end"] == (end.first + end.sent) & WORD


@given(st.data(), FIRST, FIRST, st.integers(0, WORD), st.integers(0, WORD))
def test_what_blind_forgers_send_moves_nothing_by_more_than_a_window(
    data: st.DataObject, first: int, other_first: int, sequence: int, acknowledgement: int
) -> None:
    """T9: whatever numbers they guess; a reset too."""
    talk = Connection(End(first, 3), End(other_first, 3))
    who = data.draw(st.sampled_from([ORIGINAL, REPLY]))
    flags = data.draw(st.sampled_from(["A", "FA", "R", "RA", "S", "SA"]))
    before = [int(talk.row[name]["sequence_end"]) for name in ("original", "reply")]
    state = talk.pass_on(who, flags, sequence, 10, acknowledgement=acknowledgement)

    reached = (sequence - 1) & WORD  # from the next number on
    if 65536 < reached < WORD - 65536:
        assert state == UNSOUND
        after = [int(talk.row[name]["sequence_end"]) for name in ("original", "reply")]
        assert after == before
