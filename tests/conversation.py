"""A client and a backend that talk through an engine, with the numbers real ends would use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.testing import packets
from tests.datapath import CLIENT, VIP, engine

if TYPE_CHECKING:
    from natlb.engine import Engine, Result
    from natlb.model import Flow

FROM, WEB = f"{CLIENT}:40000", f"{VIP}:80"
WORD = 0xFFFFFFFF
SCALE = bytes([3, 3])  # the window scale option, without its value


class Conversation:
    """One connection; `client()` and `backend()` send a segment each, in order unless told."""

    def __init__(self, path: Engine | None = None, firsts: tuple[int, int] = (1000, 7000)) -> None:
        """Begin with the numbers that each end's SYN will have."""
        self.path = path or engine()
        self.now = 0.0
        self.server = ""
        self.firsts = list(firsts)
        self.next = list(firsts)
        self._finished = [False, False]

    def client(self, flags: str = "A", payload: bytes = b"", **fields: Any) -> Result:
        """Send a segment from the client."""
        result = self._send(0, (FROM, WEB), flags, payload, fields)
        self.server = packets.read(result.packets[0]).destination
        return result

    def backend(self, flags: str = "A", payload: bytes = b"", **fields: Any) -> Result:
        """Send a segment from the backend."""
        return self._send(1, (self.server, FROM), flags, payload, fields)

    def talk(self, words: str) -> Conversation:
        """Send segments as `c:S b:SA c:A` names them."""
        for segment in words.split():
            who, _, flags = segment.partition(":")
            (self.client if who == "c" else self.backend)(flags)
        return self

    def established(self) -> Conversation:
        """Shake hands."""
        return self.talk("c:S b:SA c:A")

    @property
    def flow(self) -> Flow:
        """The only flow there is."""
        (flow,) = self.path.flows()
        return flow

    @property
    def row(self) -> Any:
        """The flow as the worker has it."""
        return self.path._flows.rows[1]

    def is_refreshed_by(
        self, who: str, flags: str = "A", payload: bytes = b"", **fields: Any
    ) -> bool:
        """Send a segment a second later, and return whether the flow's timer began anew."""
        self.now += 1
        getattr(self, who)(flags, payload, **fields)
        return self.flow.idle_seconds == 0

    def _send(
        self, who: int, ends: tuple[str, str], flags: str, payload: bytes, fields: dict[str, Any]
    ) -> Result:
        sequence = self.next[who]
        if "S" in flags:
            sequence = self.firsts[who]
        elif "F" in flags and self._finished[who]:
            sequence -= 1
        fields.setdefault("acknowledgement", self.next[1 - who] if "A" in flags else 0)
        if "sequence" not in fields and "R" not in flags:
            occupied = len(payload) + ("S" in flags) + ("F" in flags)
            self.next[who] = max(self.next[who], sequence + occupied)
            self._finished[who] |= "F" in flags
        fields.setdefault("sequence", sequence)
        packet = packets.tcp(*ends, flags, payload=payload, **fields)
        return self.path.process(packet, self.now)
