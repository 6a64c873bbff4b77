"""A NAT in dicts and dataclasses: what natlb must do with TCP and UDP, the plain and slow way.

A model to compare the engine with. It knows no index, no deltas, no batches: it reads a packet's
fields, looks the conversation up in a dict, and writes a whole new packet with whole new sums. It
chooses no backend: it says which ones may be chosen, and is told which one was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from natlb.testing import packets

if TYPE_CHECKING:
    from collections.abc import Callable

    Choice = Callable[[set[str]], str]

WORD = 1 << 32
MOST_SCALE = 14
PROBE = 1  # octet beyond a closed window, that asks whether it is open again


class State(Enum):
    """Where a conversation is: natlb's name for it, and the timer that runs."""

    OPENING = ("opening", "tcp_opening", 1)
    ANSWERED = ("opening", "tcp_opening", 2)
    ESTABLISHED = ("established", "tcp_established", 1)
    HALF_CLIENT = ("established", "tcp_established", 2)
    HALF_BACKEND = ("established", "tcp_established", 3)
    CLOSING = ("closing", "tcp_transitory", 1)
    UNREPLIED = ("unreplied", "udp_unreplied", 1)
    REPLIED = ("replied", "udp", 1)


HANDSHAKE = State.OPENING, State.ANSWERED


@dataclass
class Server:
    """A backend: whether new flows may be given to it, and whether it is known to be down."""

    takes: bool = True
    lives: bool = True


@dataclass
class End:
    """One end of a TCP connection: what it sent (S), what of it is acknowledged (A), its window."""

    sent: int = 0
    acknowledged: int = 0
    window: int = 0
    scale: int | None = None


@dataclass
class Flow:
    """A conversation. `ends` are the client's and the backend's."""

    service: str
    client: str
    vip: str
    server: str
    state: State
    seen: int
    doubted: bool = False
    strayed: list[bool] = field(default_factory=lambda: [False, False])
    ends: tuple[End, End] = field(default_factory=lambda: (End(), End()))

    @property
    def label(self) -> str:
        """The state's name as natlb says it."""
        return self.state.value[0]


@dataclass(frozen=True)
class Fate:
    """What becomes of a packet: `forward` with the packet that leaves, or a refusal's reason."""

    packet: bytes | None = None
    reason: str | None = None


class Reference:
    """The model. `services` are VIP endpoints by protocol and `address:port`, to their name."""

    def __init__(
        self,
        services: dict[tuple[int, str], str],
        pools: dict[str, dict[str, Server]],
        timeouts: dict[str, float],
    ) -> None:
        """Know no flow. `pools` may be changed at any time; `timeouts` are in seconds."""
        self.services, self.pools, self.timeouts = services, pools, timeouts
        self.flows: dict[tuple[int, str, str], Flow] = {}

    def process(self, packet: bytes, now: float, chosen: Choice) -> Fate:
        """Return what must become of a packet; `chosen` is asked which allowed backend it was."""
        read = packets.read(packet)
        key = read.protocol, read.source, read.destination
        time = int(now * 1000)
        segment = read if read.protocol == packets.TCP else None
        if (flow := self.flows.get(key)) and self._is_over(flow, segment, time):
            del self.flows[key]
            flow = None
        if flow is not None:
            return self._forward(flow, packet, segment, time, direction=0)
        if (flow := self._of_reply(key, time)) is not None:
            return self._forward(flow, packet, segment, time, direction=1)
        return self._arrive(packet, read, time, chosen)

    def tick(self, now: float) -> None:
        """Forget what has run out."""
        time = int(now * 1000)
        self.flows = {at: flow for at, flow in self.flows.items() if self.left(flow, time) > 0}

    def _of_reply(self, key: tuple[int, str, str], time: int) -> Flow | None:
        """Return the flow whose backend talks to whose client here."""
        protocol, source, destination = key
        for at, flow in list(self.flows.items()):
            if (at[0], flow.server, flow.client) == (protocol, source, destination):
                if self.left(flow, time) > 0:
                    return flow
                del self.flows[at]
        return None

    def left(self, flow: Flow, time: int) -> int:
        """Return how many milliseconds a flow has to live from `time` on."""
        timer = flow.state.value[1]
        if flow.doubted and timer == "tcp_established":
            timer = "tcp_transitory"
        return flow.seen + round(1000 * self.timeouts[timer]) - time

    def _is_over(self, flow: Flow, segment: packets.Read | None, time: int) -> bool:
        """Return whether a client's packet finds its flow ended, or begins it anew."""
        if self.left(flow, time) <= 0:
            return True
        server = self.pools[flow.service].get(flow.server)
        is_dead = server is None or not server.lives
        if segment is None:
            return is_dead
        if "S" not in segment.flags or "A" in segment.flags:
            return False
        return flow.state is State.CLOSING or (is_dead and flow.state in HANDSHAKE)

    def _arrive(self, packet: bytes, read: packets.Read, time: int, chosen: Choice) -> Fate:
        """Return the fate of a packet of no flow."""
        service = self.services.get((read.protocol, read.destination))
        segment = read if read.protocol == packets.TCP else None
        if service is None:
            return Fate(reason="stray")
        if segment is not None and ("S" not in segment.flags or "A" in segment.flags):
            return Fate(reason="out-of-state")
        taken = {flow.server for flow in self.flows.values() if flow.client == read.source}
        allowed = {name for name, server in self.pools[service].items() if server.takes}
        if not allowed:
            return Fate(reason="no-backend")
        server = chosen(allowed - taken or allowed)
        state = State.UNREPLIED if segment is None else State.OPENING
        flow = Flow(service, read.source, read.destination, server, state, time)
        self.flows[read.protocol, read.source, read.destination] = flow
        return self._forward(flow, packet, segment, time, direction=0)

    def _forward(
        self, flow: Flow, packet: bytes, segment: packets.Read | None, time: int, *, direction: int
    ) -> Fate:
        """Follow a packet of a flow, and return it with its other ends."""
        if segment is None:
            is_sound = True
            if direction == 1:
                flow.state = State.REPLIED
        else:
            is_sound = _follow(flow, segment, direction)
        if is_sound:
            flow.seen = time
        ends = (flow.client, flow.server) if direction == 0 else (flow.vip, flow.client)
        return Fate(packet=packets.readdressed(packet, *ends))


def _scale(options: bytes) -> int | None:
    """Return the window scale that a segment's options offer."""
    while options and options[0] != 0:
        if options[0] == 3:
            return min(MOST_SCALE, options[2])
        options = options[1 if options[0] == 1 else options[1] :]
    return None


def _follow(flow: Flow, segment: packets.Read, direction: int) -> bool:
    """Advance a TCP flow; return whether the segment was sound, and so counts as life."""
    this, other = flow.ends[direction], flow.ends[1 - direction]
    if "R" in segment.flags:
        return _follow_reset(flow, segment, direction)
    if "S" in segment.flags:
        return _follow_syn(flow, segment, direction)
    is_last = flow.state is State.ANSWERED and direction == 0  # of the handshake
    if flow.state is State.OPENING or (is_last and not _is_expected(other, segment)):
        return False
    if not _is_sound(this, other, segment):
        return flow.state not in HANDSHAKE and _may_be_lost(flow, segment, direction)
    flow.doubted, flow.strayed[direction] = False, False
    if is_last:
        flow.state = State.ESTABLISHED
    if "F" in segment.flags:
        halves = State.HALF_CLIENT, State.HALF_BACKEND
        flow.state = _behind_fin(flow.state, halves[direction], halves[1 - direction])
    return True


def _may_be_lost(flow: Flow, segment: packets.Read, direction: int) -> bool:
    """Note what is out of reach; believe it where the other end acknowledges it."""
    this, other = flow.ends[direction], flow.ends[1 - direction]
    ahead = (segment.acknowledgement - other.sent) % WORD
    if (-ahead) % WORD <= (other.sent - other.acknowledged) % WORD + this.window:
        flow.strayed[direction] = True
    elif _is_in_reach(this, other, segment) and flow.strayed[1 - direction] and ahead < WORD // 2:
        other.sent = other.acknowledged = segment.acknowledgement
        return _follow(flow, segment, direction)
    return False


def _behind_fin(state: State, mine: State, others: State) -> State:
    if state in (State.ANSWERED, State.ESTABLISHED):
        return mine
    return State.CLOSING if state is others else state


def _is_sound(this: End, other: End, segment: packets.Read) -> bool:
    """Hold a segment against both ends' numbers and windows, and keep its own if it stands."""
    owed = (other.sent - segment.acknowledgement) % WORD
    open_ = (other.sent - other.acknowledged) % WORD
    if not _is_in_reach(this, other, segment) or owed > open_ + this.window:
        return False
    this.sent = _later(this.sent, (segment.sequence + segment.length) % WORD)
    other.acknowledged = _later(other.acknowledged, segment.acknowledgement)
    this.window = max(this.window, segment.window << (this.scale or 0))
    return True


def _is_in_reach(this: End, other: End, segment: packets.Read) -> bool:
    reach = (this.acknowledged + other.window + PROBE - segment.sequence) % WORD
    return reach <= 2 * other.window + PROBE + segment.length


def _later(one: int, two: int) -> int:
    return two if (two - one) % WORD < WORD // 2 else one


def _is_expected(end: End, segment: packets.Read) -> bool:
    """Return whether a segment acknowledges what `end` has sent, and no less than before."""
    ahead = (segment.acknowledgement - end.acknowledged) % WORD
    return ahead <= (end.sent - end.acknowledged) % WORD


def _follow_syn(flow: Flow, segment: packets.Read, direction: int) -> bool:
    this, other = flow.ends[direction], flow.ends[1 - direction]
    begun = (segment.sequence + 1) % WORD
    if direction == 0 and "A" not in segment.flags:
        if flow.state is State.OPENING:
            this.sent = (segment.sequence + segment.length) % WORD
            this.acknowledged, this.scale = begun, _scale(segment.options)
            this.window = max(1, segment.window)
        return flow.state in HANDSHAKE
    is_answer = direction == 1 and "A" in segment.flags and flow.state in HANDSHAKE
    if not is_answer or not _is_expected(other, segment):
        return False
    if flow.state is State.OPENING:
        this.sent = this.acknowledged = begun
        this.scale = _scale(segment.options)
        if _scale(segment.options) is None or other.scale is None:
            this.scale = other.scale = None
        flow.state = State.ANSWERED
    this.window = max(1, segment.window, this.window)
    return True


def _follow_reset(flow: Flow, segment: packets.Read, direction: int) -> bool:
    this, other = flow.ends[direction], flow.ends[1 - direction]
    if flow.state is State.CLOSING:
        return False
    expected = "A" not in segment.flags or _is_expected(other, segment)
    opening = flow.state in HANDSHAKE
    exact = segment.sequence in (this.sent, this.acknowledged) and expected
    if direction == 1 and opening:
        refusal = "A" in segment.flags and expected
        exact = refusal or (exact and flow.state is State.ANSWERED)
    elif flow.state is State.OPENING:
        exact = segment.sequence in (this.sent, this.acknowledged)
    if exact:
        flow.state = State.CLOSING
        return True
    in_window = (segment.sequence - this.acknowledged) % WORD <= other.window
    if not opening and in_window and expected and not flow.doubted:
        flow.doubted = True
        return True
    return False
