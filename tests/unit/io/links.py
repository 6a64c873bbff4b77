"""Links without a kernel: socket pairs whose frames begin with a virtio-net and Ethernet header."""

from __future__ import annotations

from natlb.io.ports import Port, PortKind
from tests.unit.io.queues import FakeQueue

OURS, THEIRS = "0a0000000001", "0a000000000b"


class FakeLink(FakeQueue):
    """A packet socket's fd, and the wire on the other side of it."""

    def __init__(self, ifindex: int) -> None:
        """Make both ends."""
        super().__init__()
        self.ifindex = ifindex

    def frame(self, packet: bytes, kind: str = "0800", form: tuple[int, ...] = (0,) * 6) -> None:
        """Let a frame arrive that a neighbour sent to natlb."""
        self.arrive(bytes.fromhex(OURS + THEIRS + kind) + packet, form)

    def link(self, side: int) -> Port:
        """Return it as a way in."""
        return Port(PortKind.LINK, side, self.inner.fileno(), ifindex=self.ifindex)

    def output(self, side: int) -> Port:
        """Return it as a way out."""
        return Port(PortKind.OUTPUT, side, self.inner.fileno())

    def host(self, side: int, version: int) -> Port:
        """Return it as the host's raw socket: it takes packets without any header before them."""
        return Port(PortKind.HOST, side, self.inner.fileno(), number=version)

    def packets(self) -> list[bytes]:
        """Return what was written to it as the host's."""
        return [self.joined(form) + packet for form, packet in self.left()]

    @staticmethod
    def joined(form: tuple[int, ...]) -> bytes:
        """Return the octets that were read as a form."""
        from struct import pack

        return pack("<BBHHHH", *form)
