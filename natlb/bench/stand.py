"""A forwarder's own lab with all that loads it: servers behind it, senders before it.

Stands are all up at once, so that they are measured in turn; those not being measured are idle.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from natlb.bench.forwarders import BALANCER, UDP_PORT, VIP
from natlb.bench.servers import SERVER, begin_servers, sink
from natlb.bench.wire import make_sums, received_by
from natlb.lab.lifecycle import down_lab, up_lab
from natlb.lab.process import this_process
from natlb.lab.record import load, names
from natlb.netlink import Netlink, call_inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from natlb.bench.forwarders import Forwarder, Say
    from natlb.bench.udp_sender import UdpSender
    from natlb.lab.record import Lab

CLIENT = "client"
WIRE = "eth0"  # the interface of client and backend
SENDERS, SENDER_ADDRESSES = "198.51.100.2", 20
PAYLOAD = 18  # octets, in a frame of 64 on Ethernet with its check sequence


@dataclass(slots=True, kw_only=True)
class Stand:
    """A forwarder that forwards, between a client and servers that listen; a context manager."""

    forwarder: Forwarder
    lab: Lab
    senders: dict[int, UdpSender] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The column's name."""
        return self.forwarder.name

    @property
    def client(self) -> str:
        """The namespace that load comes from."""
        return self.lab.netns(CLIENT)

    def delivered(self) -> int:
        """Return how many packets have reached the backend so far."""
        return call_inside(self.lab.netns(SERVER), lambda: received_by(WIRE))

    def sender(self, flows: int) -> UdpSender:
        """Return a sender of datagrams to the VIP, of so many flows in turn; made once."""
        if flows not in self.senders:
            self.senders[flows] = sender_of(self.lab, flows)
        return self.senders[flows]

    def __enter__(self) -> Self:
        """Return the stand."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the senders; the lab stays for `clean_up`."""
        for sender in self.senders.values():
            sender.close()


@contextmanager
def stand(forwarder: Forwarder, say: Say) -> Iterator[Stand]:
    """Give the forwarder's stand; its lab stays for `clean_up`."""
    lab = bring_up(forwarder.name, forwarder.topology)
    with ExitStack() as stack:
        if forwarder.whole_sums:
            for host in (CLIENT, SERVER):
                call_inside(lab.netns(host), lambda: make_sums(WIRE))
        begin_servers(lab)
        stack.enter_context(sink(lab))
        lab = forwarder.begin(lab, lambda line: say(f"  {line}"))
        yield stack.enter_context(Stand(forwarder=forwarder, lab=lab))


def bring_up(name: str, topology: Path) -> Lab:
    """Return a lab of this process alone, without a forwarder, under a name that no other has."""
    owner = this_process("owner")
    return up_lab(f"bench{owner.pid}-{name}", str(topology), _silent, balancer=False, owner=owner)


def _silent(_: str) -> None:
    """Say nothing: a line for each namespace would hide what matters."""


def clean_up() -> None:
    """Remove every lab of this process: all that was started in it, its namespaces and files."""
    ours = this_process("owner")
    for name in names():
        lab = load(name)
        if lab is not None and lab.owner == ours:
            down_lab(name, _silent)


def sender_of(lab: Lab, flows: int) -> UdpSender:
    """Return a sender of datagrams from the client's wire to whoever has the VIP."""
    from natlb.bench import forge  # noqa: PLC0415 - NumPy, after `rights.enter`
    from natlb.bench.udp_sender import UdpSender, at_least_a_batch, frames  # noqa: PLC0415

    with Netlink(lab.netns(CLIENT)) as netlink:
        source = netlink.link(WIRE).mac
    with Netlink(lab.netns(lab.balancer)) as netlink:
        target = netlink.link("public0" if lab.balancer == BALANCER else WIRE).mac
    ends = forge.call(flows, SENDERS, SENDER_ADDRESSES, VIP, UDP_PORT)
    made = frames(source, target, forge.udp4(ends, PAYLOAD))
    return UdpSender(lab.netns(CLIENT), WIRE, at_least_a_batch(made))
