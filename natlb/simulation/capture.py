"""The flows of a capture: who called when, what the answer took, and how long it went on.

TCP flows begin with a SYN; of those already under way nothing is known of their begin, and they are
left out. Clients are numbered in the order they come, so no address of the capture is kept.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dpkt
import numpy as np

from natlb.errors import UsageError
from natlb.simulation.forms import MOST_CLIENTS
from natlb.simulation.workload import settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from natlb.simulation.workload import Workload

ETHERNET, COOKED, COOKED2 = 1, 113, 276
RAW = (12, 14, 101, 228, 229)  # IP without a link layer, by its many numbers
LINKS = {ETHERNET: dpkt.ethernet.Ethernet, COOKED: dpkt.sll.SLL, COOKED2: dpkt.sll2.SLL2}
USUAL_HANDSHAKE = 0.001  # seconds, where the capture does not show the answer

Key = tuple[bytes, int, bytes, int, int]


@dataclass(slots=True)
class _Call:
    """A flow as far as it was seen, in seconds."""

    client: bytes
    begin: float
    answered: float | None
    end: float


def read_capture(place: Path, flows: int | None = None) -> Workload:
    """Return the first flows of a pcap or pcapng file. Raises UsageError where it has none."""
    calls: dict[Key, _Call] = {}
    order: list[_Call] = []
    for moment, packet in _packets(place):
        _follow(calls, order, moment, packet)
    order = order[:flows]
    if not order:
        raise UsageError(f"--pcap '{place}': no TCP connection begins in it, and no UDP flow")
    return _workload(order)


def _packets(place: Path) -> Iterator[tuple[float, Any]]:
    """Yield moments and IP packets; what is no IP packet, or cut short, is left out."""
    try:
        with place.open("rb") as file:
            reader = dpkt.pcap.UniversalReader(file)
            link = reader.datalink()
            if link not in LINKS and link not in RAW:
                raise UsageError(f"--pcap '{place}': link layer {link} is not known")
            for moment, octets in reader:
                packet = _network(link, octets)
                if packet is not None:
                    yield float(moment), packet
    except (OSError, ValueError, dpkt.Error, struct.error) as error:
        raise UsageError(f"--pcap '{place}': {error or 'no capture'}") from None


def _network(link: int, octets: bytes) -> Any:
    """Return a frame's IP packet, or None where it carries none that can be read."""
    try:
        if link in LINKS:
            packet = LINKS[link](octets).data
        else:
            packet = (dpkt.ip.IP if octets[:1] and octets[0] >> 4 == 4 else dpkt.ip6.IP6)(octets)
    except (dpkt.Error, struct.error, ValueError, IndexError):
        return None
    return packet if isinstance(packet, dpkt.ip.IP | dpkt.ip6.IP6) else None


def _follow(calls: dict[Key, _Call], order: list[_Call], moment: float, packet: Any) -> None:
    """Add a packet to the flow that it is of, or begin one."""
    transport = packet.data
    if not isinstance(transport, dpkt.tcp.TCP | dpkt.udp.UDP):
        return
    is_tcp = isinstance(transport, dpkt.tcp.TCP)
    key = packet.src, transport.sport, packet.dst, transport.dport, int(is_tcp)
    back = packet.dst, transport.dport, packet.src, transport.sport, int(is_tcp)
    if is_tcp and _begins(transport):
        call = calls.get(key)
        if call is not None and call.answered is None:
            return  # sent again
        calls.pop(key, None)
    if call := calls.get(back):
        call.answered = moment if call.answered is None else call.answered
        call.end = moment
    elif call := calls.get(key):
        call.end = moment
    elif not is_tcp or _begins(transport):
        calls[key] = _Call(packet.src, moment, None, moment)
        order.append(calls[key])


def _begins(transport: Any) -> bool:
    """Return whether a segment begins a connection: a SYN without ACK."""
    marks = dpkt.tcp.TH_SYN | dpkt.tcp.TH_ACK
    return bool(transport.flags & marks == dpkt.tcp.TH_SYN)


def _workload(order: list[_Call]) -> Workload:
    """Return flows as a workload; a flow that nobody answered is over with the usual handshake."""
    numbers: dict[bytes, int] = {}
    clients = [numbers.setdefault(call.client, len(numbers)) % MOST_CLIENTS for call in order]
    begins = np.array([call.begin for call in order])
    answers = np.array(
        [call.begin + USUAL_HANDSHAKE if call.answered is None else call.answered for call in order]
    )
    ends = np.array([call.end for call in order])
    return settle(
        starts=begins - begins.min(),
        clients=np.array(clients, np.int64),
        handshakes=np.maximum(answers - begins, 0.0),
        services=np.maximum(ends - answers, 0.0),
    )
