"""Whose a packet is among the workers, as `natlb.core.steering` says it, inside the kernel.

    fanout_program   classic BPF for PACKET_FANOUT_CBPF: which socket of a group gets a packet
    tun_program      extended BPF for TUNSETSTEERINGEBPF: which queue of a TUN device does

Both see a packet from its network header on. In a fanout group that is so whatever the sockets'
type, since the kernel asks before it puts the Ethernet header back (tried with SOCK_RAW and
SOCK_DGRAM; Linux: af_packet.c, packet_rcv_fanout); a TUN device has no other header.
The kernel takes the answer modulo the sockets or queues that there are: worker i must be the i-th
to join. A program is made for a number of workers; the sets of addresses are in it, so a change of
VIPs or source addresses needs a new program in place of the old one, which the kernel swaps live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.bpf.classic import Code, assemble
from natlb.bpf.extended import Extended
from natlb.bpf.packets import (
    FIRST_OF_NEIGHBOURS,
    ICMP6,
    IP4_DESTINATION,
    IP4_PROTOCOL,
    IP4_SOURCE,
    IP6_DESTINATION,
    IP6_HEADER,
    IP6_NEXT,
    IP6_SOURCE,
    LAST_OF_NEIGHBOURS,
    PUBLIC,
    TCP,
    UDP,
    find_quoted_transport4,
    find_quoted_transport6,
    find_transport4,
    find_transport6,
    load_address6,
    load_address6_behind_x,
    quoted_by_error4,
    quoted_by_error6,
)
from natlb.bpf.search import with_searches
from natlb.bpf.system import ProgramKind, load_program
from natlb.bpf.translate import SocketLoads, begin_filter, translate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from natlb.bpf.classic import Instruction, Label
    from natlb.bpf.search import Address

# natlb.core.steering has the same, for the kernel of the packet path
FOLD = 0x1E35A7BD
MIX = 0x045D9F3B
MAPPED_LANE = 0xFFFF

SOURCE_PORT, DESTINATION_PORT = 0, 2
SPREAD = 5  # the word of memory a hash is put into between its steps
FIX = "fewer VIPs and source addresses, or such that lie side by side; or workers: 1"
TUN_FIX = "run as root, or under natlb's systemd unit; or workers: 1; or driver: packet"


def fanout_program(
    side: int, workers: int, vips: Iterable[Address], sources: Iterable[Address]
) -> bytes:
    """Return the classic program that answers which socket of a fanout group gets a packet.

    HostError where there are more addresses than fit into a program.
    """
    lines = _lines(side, workers, list(vips), list(sources))
    return assemble(lines, what="the addresses do not fit into a steering program", fix=FIX)


def tun_program(
    side: int, workers: int, vips: Iterable[Address], sources: Iterable[Address]
) -> int:
    """Return the descriptor of the program that answers which queue of a TUN gets a packet.

    DeniedError where the right to load it is missing, HostError where the kernel refuses it.
    """
    program = tun_instructions(side, workers, list(vips), list(sources))
    return load_program(ProgramKind.SOCKET_FILTER, program, "natlb_steering", fix=TUN_FIX)


def tun_instructions(
    side: int, workers: int, vips: Iterable[Address], sources: Iterable[Address]
) -> bytes:
    """Return that program's instructions."""
    program = Extended()
    begin_filter(program)
    translate(_lines(side, workers, vips, sources), program, SocketLoads())
    return program.assemble()


def _lines(
    side: int, workers: int, vips: Iterable[Address], sources: Iterable[Address]
) -> list[Instruction | Label]:
    """Return the whole program, its sets within."""
    code = Code()
    steer(code, side, workers)
    code.label("nobody")
    code.do("ret", 0)
    code.label("worker")
    code.do("reta")
    return with_searches(code.items, {"vips": vips, "sources": sources})


def steer(code: Code, side: int, workers: int) -> None:
    """Add what goes to `worker` with a packet's worker in A, or to `nobody`: nobody's is 0's.

    Sets: `sources` and `vips`. The packet begins with its network header.
    """
    code.do("ldb")
    code.do("rsh", 4)
    code.jump("jeq", 6, yes="ip6")
    code.jump("jeq", 4, no="nobody")
    _steer4(code, side)
    code.label("ip6")
    _steer6(code, side)
    code.label("spread")
    _spread(code)
    code.label("share")
    code.do("mod", workers)
    code.go("worker")


def _steer4(code: Code, side: int) -> None:
    """Go to `spread` or `share` with what tells an IPv4 packet's worker."""
    if side != PUBLIC:
        code.do("ldw", IP4_DESTINATION)
        code.member4("sources", yes="port4", no="client4")
        code.label("client4")
        code.do("ldw", IP4_DESTINATION)
        code.member4("vips", yes="called4", no="answer4")
        code.label("answer4")
        code.do("ldw", IP4_DESTINATION)
        code.go("address4")
        code.label("port4")
        _port4(code)
    code.label("called4")
    quoted_by_error4(code, 0, other="caller4")
    code.do("ldwx", IP4_DESTINATION)
    code.go("address4")
    code.label("caller4")
    code.do("ldw", IP4_SOURCE)
    code.label("address4")
    code.do("add", MAPPED_LANE * FOLD)
    code.go("spread")


def _port4(code: Code) -> None:
    """Go to `share` with the port that an IPv4 packet to a source address has for it."""
    code.do("ldb", IP4_PROTOCOL)
    code.jump("jeq", TCP, yes="known4")
    code.jump("jeq", UDP, no="error4")
    code.label("known4")
    find_transport4(code, 0, none="nobody")
    code.do("ldhx", DESTINATION_PORT)
    code.go("share")
    code.label("error4")
    quoted_by_error4(code, 0, other="nobody")
    code.do("ldbx", IP4_PROTOCOL)
    code.jump("jeq", TCP, yes="quoted4")
    code.jump("jeq", UDP, no="nobody")
    code.label("quoted4")
    find_quoted_transport4(code, none="nobody")
    code.do("ldhx", SOURCE_PORT)
    code.go("share")


def _steer6(code: Code, side: int) -> None:
    """Go to `spread` or `share` with what tells an IPv6 packet's worker."""
    if side != PUBLIC:
        load_address6(code, IP6_DESTINATION)
        code.member6("sources", yes="port6", no="client6")
        code.label("client6")
        code.member6("vips", yes="called6", no="answer6")
        code.label("answer6")
        _unless_neighbour(code)
        code.go("address6")
        code.label("port6")
        _port6(code)
    code.label("called6")
    find_transport6(code, 0, none="caller6")
    quoted_by_error6(code, other="caller6")
    load_address6_behind_x(code, IP6_DESTINATION)
    code.go("address6")
    code.label("caller6")
    _unless_neighbour(code)
    load_address6(code, IP6_SOURCE)
    code.label("address6")
    _fold(code)


def _unless_neighbour(code: Code) -> None:
    """Go to `nobody` with neighbour discovery: it is no flow's, and one worker answers."""
    other, discovery = code.fresh("other"), code.fresh("discovery")
    code.do("ldb", IP6_NEXT)
    code.jump("jeq", ICMP6, no=other)
    code.do("ldb", IP6_HEADER)
    code.jump("jge", FIRST_OF_NEIGHBOURS, yes=discovery, no=other)
    code.label(discovery)
    code.jump("jgt", LAST_OF_NEIGHBOURS, no="nobody")
    code.label(other)


def _port6(code: Code) -> None:
    """Go to `share` with the port that an IPv6 packet to a source address has for it."""
    find_transport6(code, 0, none="nobody")
    code.jump("jeq", TCP, yes="known6")
    code.jump("jeq", UDP, no="error6")
    code.label("known6")
    code.do("ldhx", DESTINATION_PORT)
    code.go("share")
    code.label("error6")
    quoted_by_error6(code, other="nobody")
    find_quoted_transport6(code, none="nobody")
    code.jump("jeq", TCP, yes="quoted6")
    code.jump("jeq", UDP, no="nobody")
    code.label("quoted6")
    code.do("ldhx", SOURCE_PORT)
    code.go("share")


def _fold(code: Code) -> None:
    """Make one word of the four in memory: the first lines of the hash."""
    code.do("ldm", 0)
    for lane in (1, 2, 3):
        code.do("mul", FOLD)
        code.do("ldxm", lane)
        code.do("addx")


def _spread(code: Code) -> None:
    """Make the hash of the word in A: its last lines."""
    for multiplier in (MIX, MIX, None):
        code.do("st", SPREAD)
        code.do("rsh", 16)
        code.do("tax")
        code.do("ldm", SPREAD)
        code.do("xorx")
        if multiplier is not None:
            code.do("mul", multiplier)
