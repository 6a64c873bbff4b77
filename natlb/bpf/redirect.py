"""The XDP program: what is natlb's goes to a worker's AF_XDP socket, all else to the kernel.

    frame of the interface -> a tag or none -> natlb's by its addresses? -> whose? -> XSKMAP

It asks what the packet sockets' filters ask (`filters.py`), but for ARP and neighbour discovery:
those are the kernel's, which has an entry for each address to answer for. Steering is the one of
`steering.py`. An AF_XDP socket belongs to one queue of an interface and gets packets of that alone,
so each worker has one for each queue: number `queue * workers + worker` in the map. The kernel
binds a second socket to a queue only if it shares the memory and rings of the first (tried: EBUSY).

Where there is no socket in the map, for a worker that is gone or a queue that nobody serves, the
kernel gets the packet (the redirect's own fallback, Linux 5.3); a socket that is closed leaves the
map by itself. The program runs on the interface as long as the link that `attach` returns is open
somewhere: a crash leaves nothing behind.

Addresses lie in a map and change live, the number of workers does not. Frames to groups and to
all are the kernel's; once `set_mac` has said the interface's own address, so are frames to others,
which an interface in promiscuous mode hands over too.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from struct import pack
from typing import TYPE_CHECKING

from natlb.bpf.classic import Code
from natlb.bpf.extended import FRAME, R0, R1, R2, R3, R6, R8, R9, Extended
from natlb.bpf.filters import from_backends4, from_backends6, to_vips4, to_vips6
from natlb.bpf.packets import (
    ETHERNET_HEADER,
    ETHERNET_TYPE,
    IP4,
    IP6,
    PROVIDER_VLAN,
    PUBLIC,
    VLAN,
)
from natlb.bpf.steering import steer
from natlb.bpf.system import (
    MapKind,
    ProgramKind,
    create_map,
    delete,
    keys,
    link_xdp,
    load_program,
    update,
)
from natlb.bpf.translate import FUNCTION_LOOKUP, Known, PointerLoads, translate
from natlb.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from natlb.bpf.search import Address

NATIVE, GENERIC = "native", "generic"
FLAGS = {NATIVE: 1 << 2, GENERIC: 1 << 1}  # Linux: if_link.h, XDP_FLAGS_*_MODE

XDP_PASS = 2
FUNCTION_REDIRECT = 51  # Linux: bpf.h, bpf_redirect_map
CONTEXT_BEGIN, CONTEXT_END, CONTEXT_QUEUE = 0, 4, 16  # Linux: bpf.h, struct xdp_md
TAG_OCTETS = 4

# What an address is, as bits of its value
VIP, SOURCE, BACKEND = 1, 2, 4
SETS = {"vips": VIP, "sources": SOURCE, "natlb": VIP | SOURCE, "backends": BACKEND}
KEY_OCTETS, VALUE_OCTETS = 16, 4
MOST_ADDRESSES = 1 << 16

FIX = "run as root, or under natlb's systemd unit; or driver: packet, which needs no program"


class Redirect:
    """The program of one side, with its maps; `attach` puts it onto an interface."""

    def __init__(
        self,
        side: int,
        workers: int,
        queues: int,
        vips: Iterable[Address],
        backends: Iterable[Address],
        sources: Iterable[Address],
    ) -> None:
        """Load it. DeniedError where the right is missing, HostError where the kernel refuses."""
        self.workers, self.queues = workers, queues
        self.map_fd = self.program_fd = self._addresses = self._mac = -1
        try:
            self._load(side)
            self.set_addresses(vips, backends, sources)
        except BaseException:
            self.close()
            raise

    def _load(self, side: int) -> None:
        sockets = self.workers * self.queues
        self.map_fd = create_map(MapKind.SOCKETS_OF_XDP, 4, 4, sockets, "natlb_sockets", fix=FIX)
        self._addresses = create_map(
            MapKind.HASH, KEY_OCTETS, VALUE_OCTETS, MOST_ADDRESSES, "natlb_addresses", fix=FIX
        )
        self._mac = create_map(MapKind.ARRAY, 4, 8, 1, "natlb_mac", fix=FIX)

        def into_socket(program: Extended) -> None:
            _redirect(program, self.map_fd, self.workers)

        instructions = program_of(side, self.workers, self._addresses, self._mac, into_socket)
        self.program_fd = load_program(ProgramKind.XDP, instructions, "natlb_redirect", fix=FIX)

    def set_addresses(
        self, vips: Iterable[Address], backends: Iterable[Address], sources: Iterable[Address]
    ) -> None:
        """Change what is natlb's: new addresses first, then those that went.

        HostError where there are more than the map holds; then some are in it and none went.
        """
        wanted: dict[bytes, int] = {}
        for bit, addresses in ((VIP, vips), (BACKEND, backends), (SOURCE, sources)):
            for address in addresses:
                key = key_of(address)
                wanted[key] = wanted.get(key, 0) | bit
        for key, bits in wanted.items():
            self._add(key, bits, len(wanted))
        for key in keys(self._addresses, KEY_OCTETS):
            if key not in wanted:
                delete(self._addresses, key)

    def _add(self, key: bytes, bits: int, count: int) -> None:
        try:
            update(self._addresses, key, pack("=I", bits))
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, error.errno)
            room = f"{count:,} addresses, and the redirect's map has room for {MOST_ADDRESSES:,}"
            message = f"bpf(BPF_MAP_UPDATE_ELEM) failed: {reason}: {room}"
            raise HostError(message, fix="driver: tun") from error

    def set_mac(self, mac: bytes) -> None:
        """Say the interface's own address: frames to others are the kernel's from now on."""
        update(self._mac, pack("=I", 0), pack("=Q", int.from_bytes(mac)))

    def set_socket(self, queue: int, worker: int, socket_fd: int) -> None:
        """Give a worker's packets of a queue to an AF_XDP socket that is bound to both."""
        update(self.map_fd, pack("=I", queue * self.workers + worker), pack("=I", socket_fd))

    def clear_socket(self, queue: int, worker: int) -> None:
        """Give a worker's packets of a queue to the kernel."""
        with suppress(FileNotFoundError):
            delete(self.map_fd, pack("=I", queue * self.workers + worker))

    def attach(self, ifindex: int, mode: str) -> int:
        """Return the link that holds the program on an interface of this thread's namespace.

        `mode` is NATIVE, where the device's driver must know XDP, or GENERIC. BusyError where
        another program is there.
        """
        other = GENERIC if mode == NATIVE else "packet"
        fix = f"ip link set dev IFNAME xdp off, if that program is nobody's; or {other} instead"
        return link_xdp(self.program_fd, ifindex, FLAGS[mode], fix=fix)

    def close(self) -> None:
        """Close the descriptors; a link keeps the program and its maps."""
        for name in ("program_fd", "map_fd", "_addresses", "_mac"):
            if (descriptor := getattr(self, name)) >= 0:
                os.close(descriptor)
                setattr(self, name, -1)


def key_of(address: Address) -> bytes:
    """Return an address as a key of the map: four words in the machine's order."""
    number = int(address) | (0xFFFF << 32 if address.version == 4 else 0)
    return pack("=4I", *(number >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0)))


def program_of(
    side: int, workers: int, addresses_fd: int, mac_fd: int, end: Callable[[Extended], None]
) -> bytes:
    """Return the instructions; `end` adds what is done with a packet whose worker R0 says."""
    code = Code()
    for label, ask in zip(("filter4", "filter6"), _filters(side), strict=True):
        code.label(label)
        ask(code, 0)
    asked = len(code.items)
    code.label("accept")
    steer(code, side, workers)
    program = Extended()
    _to_network_header(program, mac_fd)
    known = Known(addresses_fd, SETS)
    translate(code.items[:asked], program, PointerLoads("reject"), known)
    translate(code.items[asked:], program, PointerLoads("nobody"), known)
    program.label("nobody")
    program.do("mov", R0, 0)
    program.label("worker")
    end(program)
    program.label("reject")
    program.do("mov", R0, XDP_PASS)
    program.exit()
    return program.assemble()


def _filters(side: int) -> tuple[Callable[[Code, int], None], Callable[[Code, int], None]]:
    return (to_vips4, to_vips6) if side == PUBLIC else (from_backends4, from_backends6)


def _to_network_header(program: Extended, mac_fd: int) -> None:
    """Add what sets R6, R8 and R9, and goes to the filter of the packet's version."""
    program.do64_with("mov", R6, R1)
    program.load(32, R8, R6, CONTEXT_BEGIN)
    program.load(32, R9, R6, CONTEXT_END)
    _require(program, ETHERNET_HEADER)
    _refuse_others(program, mac_fd)
    program.load(16, R0, R8, ETHERNET_TYPE)
    program.to_host(16, R0)
    program.do64("add", R8, ETHERNET_HEADER)
    program.jump("jeq", R0, VLAN, "tag")
    program.jump("jne", R0, PROVIDER_VLAN, "network")
    program.label("tag")
    _require(program, TAG_OCTETS)
    program.load(16, R0, R8, 2)
    program.to_host(16, R0)
    program.do64("add", R8, TAG_OCTETS)
    program.label("network")
    program.jump("jeq", R0, IP6, "filter6")
    program.jump("jne", R0, IP4, "reject")


def _require(program: Extended, octets: int) -> None:
    """Give the kernel what has not so many octets left."""
    program.do64_with("mov", R2, R8)
    program.do64("add", R2, octets)
    program.jump64_with("jgt", R2, R9, "reject")


def _refuse_others(program: Extended, mac_fd: int) -> None:
    """Give the kernel frames to groups, and to others if it is known who is not another."""
    program.load(8, R0, R8, 0)
    program.jump("jset", R0, 1, "reject")
    program.do("mov", R1, 0)
    program.store(32, FRAME, -4, R1)
    program.load_map(R1, mac_fd)
    program.do64_with("mov", R2, FRAME)
    program.do64("add", R2, -4)
    program.call(FUNCTION_LOOKUP)
    program.jump64("jeq", R0, 0, "reject")
    program.load(64, R1, R0, 0)
    program.jump64("jeq", R1, 0, "ours")
    program.load(32, R2, R8, 0)
    program.to_host(32, R2)
    program.do64("lsh", R2, 16)
    program.load(16, R3, R8, 4)
    program.to_host(16, R3)
    program.do64_with("or", R2, R3)
    program.jump64_with("jne", R1, R2, "reject")
    program.label("ours")


def _redirect(program: Extended, sockets_fd: int, workers: int) -> None:
    """End with the packet in the socket of its queue and worker, or else with the kernel."""
    program.load(32, R2, R6, CONTEXT_QUEUE)
    program.do("mul", R2, workers)
    program.do_with("add", R2, R0)
    program.load_map(R1, sockets_fd)
    program.do("mov", R3, XDP_PASS)
    program.call(FUNCTION_REDIRECT)
    program.exit()
