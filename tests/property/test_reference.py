"""The engine against a NAT in dicts: the same random conversations, and no difference.

Opens, data, closes, resets, repeated and reordered segments, ports used again, backends that go
down, drain, are removed and come back, time, and a worker that is killed between any two stores.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from natlb import jit
from natlb.engine import Engine, PacketMeta, Result, SideName, Verdict
from natlb.testing import packets
from natlb.testing.reference import Fate, Flow, Reference, Server, State
from tests.crash import crash_while
from tests.datapath import assert_counts_agree, broken_laws

CLIENTS = ["198.51.100.2:40000", "198.51.100.2:40001", "198.51.100.3:40000"]
CLIENTS6 = ["[2001:db8:c::2]:40000", "[2001:db8:c::3]:40000"]
SERVICES = {
    "web": (packets.TCP, "203.0.113.10:80", ["10.9.0.11:8080", "10.9.0.12:8080"]),
    "dns": (packets.UDP, "203.0.113.10:53", ["10.9.0.11:5353", "10.9.0.12:5353"]),
    "web6": (packets.TCP, "[2001:db8:f::10]:80", ["[fd00:9::11]:8080", "[fd00:9::12]:8080"]),
}
TIMEOUTS = {
    "tcp_established": 60.0,
    "tcp_opening": 20.0,
    "tcp_transitory": 10.0,
    "udp": 15.0,
    "udp_unreplied": 8.0,
}
WORD = 1 << 32
NUMBERS = st.one_of(st.sampled_from([0, 5, WORD - 1, WORD - 20, 1 << 31]), st.integers(0, WORD - 1))
SCALES = st.sampled_from([None, 0, 7, 14, 20])
KINDS = ["ack", "data", "again", "probe", "fin", "far", "syn", "syn-ack", "early", "next rst"]
KINDS += ["near rst", "far rst", "rst ack", "ack ahead", "ack of old", "ack of far"]


class Conversations(RuleBasedStateMachine):
    """Both NATs, and ends that say what real ones would, or might."""

    def __init__(self) -> None:
        """Start both."""
        super().__init__()
        self.removed: set[str] = set()
        self.engine = Engine(self.config())
        self.pools = {
            name: {server: Server() for server in servers}
            for name, (_, _, servers) in SERVICES.items()
        }
        services = {(protocol, vip): name for name, (protocol, vip, _) in SERVICES.items()}
        self.reference = Reference(services, self.pools, TIMEOUTS)
        self.now = 0.0
        self.crash_at: int | None = None
        self.crashed = False

    def config(self) -> dict[str, Any]:
        """Return the configuration without what was removed."""
        services = {
            name: {
                "listen": f"{'tcp' if protocol == packets.TCP else 'udp'}://{vip}",
                "backends": [each for each in servers if each not in self.removed],
            }
            for name, (protocol, vip, servers) in SERVICES.items()
        }
        return {"datapath": {"max_flows": 64}, "timeouts": TIMEOUTS, "services": services}

    def exchange(self, packet: bytes, side: SideName) -> None:
        """Send a packet through both, and compare what became of it."""
        if self.crash_at is not None and not jit.COMPILED:
            self.crashed |= crash_while(self.engine, packet, self.now, side, self.crash_at)
            self.crash_at = None
        result = self.engine.process(packet, self.now, PacketMeta(side=side))
        fate = self.reference.process(packet, self.now, lambda allowed: chosen(result, allowed))
        compare(result, fate)

    @rule(
        client=st.sampled_from(CLIENTS + CLIENTS6),
        number=NUMBERS,
        scale=SCALES,
        data=st.binary(max_size=3),
    )
    def call(self, client: str, number: int, scale: int | None, data: bytes) -> None:
        """A client's SYN, perhaps with data, perhaps on a port that it used before."""
        vip = SERVICES["web" if client in CLIENTS else "web6"][1]
        options = b"" if scale is None else bytes([1, 3, 3, scale])
        self.exchange(
            packets.tcp(client, vip, "S", sequence=number, options=options, payload=data), "public"
        )

    @rule(
        client=st.sampled_from(CLIENTS + CLIENTS6),
        number=NUMBERS,
        scale=SCALES,
        acknowledged=st.booleans(),
    )
    def connect(self, client: str, number: int, scale: int | None, acknowledged: bool) -> None:
        """A whole handshake, or one whose last word is still to come."""
        self.call(client, number, scale, b"")
        flow = self.flow_of(client)
        if flow is not None and flow.state is State.OPENING:
            self.send(flow, 1, "syn-ack", number ^ 0x5555, scale=scale)
            if acknowledged:
                self.send(flow, 0, "ack")

    def flow_of(self, client: str) -> Flow | None:
        """Return a client's connection."""
        flows = self.reference.flows.values()
        return next((f for f in flows if f.client == client and f.service != "dns"), None)

    def send(
        self,
        flow: Flow,
        direction: int,
        kind: str,
        number: int = 0,
        *,
        scale: int | None = None,
        size: int = 1,
        window: int = 65535,
    ) -> None:
        """Send a segment of this kind."""
        words = segment(flow, direction, kind, number, size)
        options = bytes([1, 3, 3, scale]) if kind.startswith("syn") and scale is not None else b""
        ends = (flow.server, flow.client) if direction else (flow.client, flow.vip)
        packet = packets.tcp(*ends, window=window, options=options, **words)
        self.exchange(packet, "private" if direction else "public")

    @rule(
        pick=st.integers(0, 9),
        is_client=st.booleans(),
        kind=st.sampled_from(KINDS),
        number=NUMBERS,
        scale=SCALES,
        size=st.integers(1, 1400),
        window=st.sampled_from([0, 1, 1000, 65535]),
    )
    def say(
        self,
        pick: int,
        is_client: bool,
        kind: str,
        number: int,
        scale: int | None,
        size: int,
        window: int,
    ) -> None:
        """A segment of either end of a connection there is, or was not long ago."""
        flows = [flow for flow in self.reference.flows.values() if flow.service != "dns"]
        if not flows:
            return
        flow = flows[pick % len(flows)]
        self.send(flow, 0 if is_client else 1, kind, number, scale=scale, size=size, window=window)

    @rule(
        pick=st.integers(0, 9),
        is_client=st.booleans(),
        kind=st.sampled_from(
            ["near rst", "next rst", "far rst", "rst ack", "fin", "far", "ack of far"]
        ),
    )
    def hang_up(self, pick: int, is_client: bool, kind: str) -> None:
        """One end wants no more, or somebody forges that."""
        self.say(pick, is_client, kind, 0, None, 1, 65535)

    @rule(client=st.sampled_from(CLIENTS), data=st.binary(max_size=20), bare=st.booleans())
    def ask(self, client: str, data: bytes, bare: bool) -> None:
        """A client's datagram, perhaps without a checksum."""
        packet = packets.udp(client, SERVICES["dns"][1], data, checksum=0 if bare else None)
        self.exchange(packet, "public")

    @rule(pick=st.integers(0, 9), data=st.binary(max_size=20))
    def answer(self, pick: int, data: bytes) -> None:
        """A backend's datagram back."""
        flows = [flow for flow in self.reference.flows.values() if flow.service == "dns"]
        if flows:
            flow = flows[pick % len(flows)]
            self.exchange(packets.udp(flow.server, flow.client, data), "private")

    @rule(seconds=st.sampled_from([0.001, 0.5, 5.0, 9.0, 19.0, 59.0]))
    def wait(self, seconds: float) -> None:
        """Time, and the sweep."""
        self.now = round(self.now + seconds, 3)
        self.engine.tick(self.now)
        self.reference.tick(self.now)

    @rule(
        name=st.sampled_from(list(SERVICES)),
        at=st.integers(0, 1),
        state=st.sampled_from(["ready", "draining"]),
        health=st.sampled_from(["up", "down"]),
    )
    def change(self, name: str, at: int, state: Any, health: Any) -> None:
        """A backend drains, goes down, or is well again."""
        backend = SERVICES[name][2][at]
        if backend in self.pools[name]:
            self.engine.set_backend(f"{name}/{backend}", state=state, health=health)
            self.pools[name][backend] = Server(state == "ready" and health == "up", health == "up")

    @rule(name=st.sampled_from(list(SERVICES)), at=st.integers(0, 1))
    def remove(self, name: str, at: int) -> None:
        """A backend is taken out of the configuration, or put back."""
        backend = SERVICES[name][2][at]
        if backend in self.pools[name]:
            del self.pools[name][backend]
            self.removed.add(backend)
        else:
            self.pools[name][backend] = Server()
            self.removed.discard(backend)
        self.engine.load(self.config())

    @rule(store=st.integers(0, 120))
    def crash(self, store: int) -> None:
        """The worker is killed before so many stores of its next packet, which comes again."""
        self.crash_at = store

    @invariant()
    def tables_agree(self) -> None:
        """The same conversations, in the same states, with the same backends."""
        time = int(self.now * 1000)
        expected = sorted(
            (flow.client, flow.vip, flow.server, flow.label, self.reference.left(flow, time))
            for flow in self.reference.flows.values()
            if self.reference.left(flow, time) > 0
        )
        found = sorted(
            (flow.client, flow.vip, flow.server, flow.state, round(1000 * flow.expires_seconds))
            for flow in self.engine.flows()
            if flow.expires_seconds > 0
        )
        assert found == expected

    def teardown(self) -> None:
        """Hold the table's laws, and the counts where no packet was half counted."""
        if not self.crashed:
            assert_counts_agree(self.engine.stats())
        assert not broken_laws(self.engine._flows, self.engine._counters)


def segment(flow: Flow, direction: int, kind: str, number: int, size: int) -> dict[str, Any]:
    """Return the fields of a segment of this kind, by what the ends have said so far."""
    this, other = flow.ends[direction], flow.ends[1 - direction]
    words: dict[str, Any] = {"sequence": this.sent, "acknowledgement": other.sent}
    acked = {"ack ahead": 77, "ack of old": -(1 << 25), "ack of far": (1 << 30) + size}.get(kind, 0)
    words["acknowledgement"] = (other.sent + acked) % WORD
    flags = {"fin": "FA", "syn": "S", "syn-ack": "SA", "rst ack": "RA"}.get(kind, "A")
    if kind in ("data", "again", "early", "far"):
        words["payload"] = bytes(size)
    back = {"again": size, "probe": 1}.get(kind, 0)
    ahead = {"early": 2000, "far": 1 << 30, "near rst": 7, "far rst": 1 << 30}.get(kind, 0)
    words["sequence"] = (this.sent - back + ahead) % WORD
    if kind.startswith("syn"):
        words["sequence"] = number
        if kind == "syn-ack" and flow.state is not State.OPENING:
            words["sequence"] = (this.acknowledged - 1) % WORD
        words["acknowledgement"] = other.acknowledged
    if kind.endswith(" rst"):
        flags = "R"
    return {**words, "flags": flags}


def chosen(result: Result, allowed: set[str]) -> str:
    """Return the backend that natlb chose, which must be one that may be."""
    assert result.verdict is Verdict.FORWARD, result
    server = packets.read(result.packets[0]).destination
    assert server in allowed, f"{server} is none of {allowed}"
    return server


def compare(result: Result, fate: Fate) -> None:
    """Hold natlb's result against what must be."""
    if fate.packet is not None:
        assert (result.verdict, result.packets) == (Verdict.FORWARD, [fate.packet])
    elif fate.reason != "stray":
        assert result.reason is not None
        assert result.reason.label == fate.reason
    else:
        assert result.verdict in (Verdict.PASS, Verdict.DROP)


TestConversations = Conversations.TestCase
TestConversations.settings = settings(
    max_examples=settings.default.max_examples,  # type: ignore[union-attr]
    stateful_step_count=60,
    deadline=None,
)
