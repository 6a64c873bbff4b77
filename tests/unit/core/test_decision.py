from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from natlb.core.layout import CLOSING, MARK_DATAGRAMS, OPENING
from natlb.engine import PacketMeta, Verdict
from natlb.testing import packets
from natlb.testing.packets import Header
from tests.conversation import FROM, WEB, Conversation
from tests.datapath import VIP, assert_counts_agree, broken_laws, engine
from tests.kernels import needs_plain_kernels

if TYPE_CHECKING:
    from natlb.engine import Engine

needs_plain_kernels()

DNS = f"{VIP}:53"


def closing() -> Conversation:
    """Return a connection that both ends have closed."""
    return Conversation().established().talk("c:FA b:FA c:A")


def judge(path: Engine, *, lives: int) -> None:
    """Have the first flow's backend known to live, or not to, and nothing else."""
    tables = path._core.tables
    backends = tables.backends.copy()
    backends["lives"] = 1
    backends["takes"] = 1
    first = backends[int(path._flows.rows[1]["backend"])]
    first["lives"] = first["takes"] = lives
    path._core = path._core._replace(tables=tables._replace(backends=backends))


def test_a_syn_on_a_closing_flow_is_a_new_flow_at_once() -> None:
    """T10, trap 3: no SYN is swallowed, and another backend may get it."""
    talk = closing()
    first = talk.server
    result = talk.client("S", sequence=99999)

    assert result.verdict is Verdict.FORWARD
    assert talk.server != first  # round robin
    assert talk.flow.state == "opening"
    assert (talk.path.stats().flows.opened, talk.path.stats().flows.closed) == (2, 1)
    assert not broken_laws(talk.path._flows, talk.path._counters)
    assert_counts_agree(talk.path.stats())


@pytest.mark.parametrize("flags", ["SA", "A", "FA", "R"])
def test_what_is_no_opener_does_not_begin_a_closing_flow_anew(flags: str) -> None:
    """Late segments still reach the old backend (T11)."""
    talk = closing()
    first = talk.server
    talk.client(flags)

    assert talk.server == first
    assert talk.row["state"] == CLOSING
    assert talk.path.stats().flows.opened == 1


def test_a_backends_syn_does_not_begin_a_closing_flow_anew() -> None:
    """Only the client opens."""
    talk = closing()
    result = talk.backend("S")

    assert packets.read(result.packets[0]).source == WEB
    assert talk.row["state"] == CLOSING


@pytest.mark.parametrize(
    ("packet", "meta"),
    [
        (packets.tcp(FROM, WEB, "S"), PacketMeta(side="private")),
        (packets.tcp(FROM, WEB, "S", header=Header(options=b"\1\1\1\0")), None),
    ],
)
def test_a_syn_that_is_refused_anyway_ends_no_closing_flow(packet: bytes, meta: Any) -> None:
    """Or anybody could, from the wrong side."""
    talk = closing()
    before = talk.path.flows()
    result = talk.path.process(packet, 0.0, meta)

    assert result.verdict is Verdict.DROP
    assert talk.path.flows() == before


def test_a_packet_of_a_flow_whose_time_ran_out_is_a_strangers() -> None:
    """The sweep need not have come by."""
    talk = Conversation().established()
    talk.now = 7440.0
    result = talk.path.process(packets.tcp(FROM, WEB, "A"), talk.now)

    assert result.verdict is Verdict.REPLY
    assert packets.read(result.packets[0]).flags == "R"
    assert talk.path.stats().flows.expired == 1


@pytest.mark.parametrize("words", ["c:S", "c:S b:SA"])
def test_an_unanswered_syn_leaves_a_backend_that_is_down(words: str) -> None:
    """Trap 9: repeated, it is given to another; while the backend lives it stays."""
    talk = Conversation().talk(words)
    first = talk.server
    judge(talk.path, lives=1)
    talk.client("S")
    assert talk.server == first
    judge(talk.path, lives=0)
    talk.client("S")

    assert talk.server != first
    assert talk.row["state"] == OPENING


def test_an_established_connection_never_leaves_its_backend() -> None:
    """Whatever is known of it: it may still answer."""
    talk = Conversation().established()
    first = talk.server
    judge(talk.path, lives=0)
    talk.client("S")
    talk.client("PA", b"still here")

    assert talk.server == first
    assert talk.path.stats().flows.opened == 1


def test_a_datagram_leaves_a_backend_that_is_down() -> None:
    """Trap 2: at once, replied or not; the backend's late answers end nothing."""
    path = engine()
    server = packets.read(path.process(packets.udp(FROM, DNS), 0.0).packets[0]).destination
    judge(path, lives=0)
    path.process(packets.udp(server, FROM), 0.0)
    assert path.stats().flows.opened == 1
    other = packets.read(path.process(packets.udp(FROM, DNS), 0.0).packets[0]).destination

    assert other != server
    assert path.stats().flows.opened == 2


def test_a_datagram_of_a_live_backend_stays() -> None:
    """Also where it may get another after some answers: none has come yet."""
    for marks in (0, MARK_DATAGRAMS):
        path = engine()
        server = packets.read(path.process(packets.udp(FROM, DNS), 0.0).packets[0]).destination
        judge(path, lives=1)
        path._flows.rows[1]["marks"] |= marks
        again = packets.read(path.process(packets.udp(FROM, DNS), 0.0).packets[0]).destination

        assert again == server
