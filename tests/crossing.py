"""A flow between IPv6 and IPv4 for tests: an engine, and one row made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.batch import start_batch
from natlb.core.crossing import cross_fragment
from natlb.core.flow_table import bind, hash_key, insert
from natlb.core.intake import take_in
from natlb.core.layout import ACTION_MSS, ACTION_NAT, ACTION_XLAT, HEADROOM, PRIVATE, PUBLIC
from natlb.core.lifetime import begin_life
from natlb.core.tracking import first_state
from natlb.engine import Engine, PacketMeta
from natlb.testing import packets
from natlb.wire.fields import TCP, UDP
from tests.kernels import key_of, write_reply

if TYPE_CHECKING:
    from natlb.engine import Result

CLIENT4, VIP4, SOURCE4, BACKEND4 = (
    "198.51.100.2:40000",
    "203.0.113.10:80",
    "10.9.0.200:50000",
    "10.9.0.11:8080",
)
CLIENT6, VIP6, SOURCE6, BACKEND6 = (
    "[2001:db8:c::2]:40000",
    "[2001:db8:f::10]:80",
    "[fd00:9::200]:50000",
    "[fd00:9::11]:8080",
)
TO4 = (CLIENT6, VIP6, SOURCE4, BACKEND4)
TO6 = (CLIENT4, VIP4, SOURCE6, BACKEND6)
BOTH = (TO4, TO6)


class Crossing:
    """A client of one version, a backend of the other, natlb's own source between them."""

    def __init__(
        self, ends: tuple[str, str, str, str], protocol: str = "tcp", mss: int = 0, **options: Any
    ) -> None:
        """Make the engine and the flow."""
        self.client, self.vip, self.source, self.backend = ends
        self.build = packets.tcp if protocol == "tcp" else packets.udp
        same = "[fd00:9::99]:1" if self.vip.startswith("[") else "10.9.0.99:1"
        service = {"listen": f"{protocol}://{self.vip}", "backends": [same]}
        config = {"datapath": {"max_flows": 16}, "services": {"web": service}}
        self.path = Engine(config, **options)
        self._make_row(TCP if protocol == "tcp" else UDP, mss)

    def _make_row(self, protocol: int, mss: int) -> None:
        core = self.path._core
        key = key_of(self.client, self.vip)
        number = insert(core.flows, key, protocol, hash_key(core.flows, key, protocol))
        row = core.flows.rows[number]
        begin_life(row, 0)
        write_reply(core.flows, number, key_of(self.backend, self.source))
        row["original"]["way"], row["reply"]["way"] = PRIVATE, PUBLIC
        assert bind(core.flows, number, first_state(protocol)) == number
        row["actions"] = ACTION_NAT | ACTION_XLAT | (ACTION_MSS if mss else 0)
        core.tables.services.flags.writeable = True
        core.tables.services["mss6"] = mss
        core.tables.backends.flags.writeable = True
        for lane in range(4):
            core.tables.backends[f"address{lane}"] = row["reply"][f"source{lane}"]
        core.tables.backends["port"] = row["reply"]["source_port"]
        for count in core.counters.backends, core.counters.services:
            count[0]["current"] = count[0]["total"] = 1
            count[0]["opening"] = int(protocol == TCP)
        core.counters.loads[0] = 1

    @property
    def row(self) -> Any:
        """Return the flow's row."""
        return self.path._core.flows.rows[1]

    def original(self, *arguments: Any, **fields: Any) -> bytes:
        """Return a packet of the client's."""
        return self.build(self.client, self.vip, *arguments, **fields)

    def reply(self, *arguments: Any, **fields: Any) -> bytes:
        """Return a packet of the backend's."""
        return self.build(self.backend, self.source, *arguments, **fields)

    def send(
        self, packet: bytes, now: float = 0.0, *, unfinished: bool = False, segment: int = 0
    ) -> Result:
        """Return what becomes of a packet, which comes in by the side of its source."""
        here = packet[8:24] if packet[0] >> 4 == 6 else packet[12:16]
        is_private = here[0] in (0x0A, 0xFD)
        meta = PacketMeta(
            side="private" if is_private else "public",
            unfinished_checksum=unfinished,
            segment_size=segment,
        )
        return self.path.process(packet, now, meta)

    def send_piece(self, packet: bytes) -> Result:
        """Return what becomes of a fragment, whose flow is known by its datagram's first one."""
        core = self.path._core
        is_reply = packet[0] >> 4 == self.backend_version
        start_batch(core.batch, 1)
        core.batch.slots[0, HEADROOM : HEADROOM + len(packet)] = bytearray(packet)
        take_in(core, 0, len(packet), PRIVATE if is_reply else PUBLIC, 0, 0)
        view = core.batch.slots[0, HEADROOM : HEADROOM + len(packet)]
        outcome = cross_fragment(core, 0, view, is_reply << 24 | 1, 0, self.path._hops)
        core.batch.outcomes[0] = outcome
        return self.path._results()[0]

    @property
    def backend_version(self) -> int:
        """Return the IP version that the backend speaks."""
        return 6 if self.backend.startswith("[") else 4

    def ends_seen(self, packet: bytes) -> tuple[str, str]:
        """Return who a packet is from and to once it has crossed."""
        is_reply = packets.read(packet).source == self.backend
        return (self.vip, self.client) if is_reply else (self.source, self.backend)
