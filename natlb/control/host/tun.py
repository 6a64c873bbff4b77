"""TUN devices: the queue through which a side's packets come in, with the kernel's offloads on.

A queue is made without packet information, with a 10-octet virtio-net header before each packet,
so that super-packets of up to 64 KiB pass unsegmented. The device lives as long as one copy of
the queue's descriptor is open, in whatever process, and its queue keeps its packets as long.

A device for several workers has a queue for each, in the order of their numbers: the kernel counts
queues as they are attached. One that is closed for good gives its number to the last.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from struct import pack

from natlb.errors import BusyError, DeniedError, HostError, NatlbError
from natlb.netlink import inside

DEVICE = Path("/dev/net/tun")
WITHOUT = "datapath: {driver: packet}, which needs none"
NAME_OCTETS = 15  # Linux: if.h, IFNAMSIZ without the closing zero
VNET_HEADER_OCTETS = 10  # Linux: virtio_net.h, struct virtio_net_hdr

# Linux: if_tun.h. IFF_TUN_EXCL: an existing device is refused, not joined.
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR, IFF_TUN_EXCL = 0x0001, 0x1000, 0x4000, 0x8000
IFF_MULTI_QUEUE = 0x0100
TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 0x01, 0x02, 0x04
TUN_F_USO4, TUN_F_USO6 = 0x20, 0x40  # since Linux 6.2
SEGMENTS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6
OFFLOADS = (SEGMENTS | TUN_F_USO4 | TUN_F_USO6, SEGMENTS, 0)  # the best that is taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Tun:
    """A device's queues: their non-blocking descriptors, and the offloads the kernel took."""

    name: str
    fd: int  # of the first
    offloads: int
    others: tuple[int, ...] = ()

    @property
    def fds(self) -> tuple[int, ...]:
        """All queues, by number."""
        return self.fd, *self.others

    def close(self) -> None:
        """Close all queues, and so the device where nobody else has any of them."""
        for fd in self.fds:
            os.close(fd)


def open_tun(name: str, netns: str | None = None, queues: int = 1) -> Tun:
    """Return the queues of a new TUN device, down and without addresses, in that namespace.

    BusyError where the name is taken, HostError where there is no TUN, DeniedError where the
    right to make one is missing.
    """
    if not 0 < len(name.encode()) <= NAME_OCTETS:
        raise HostError(f"{name!r} is not a name of 1 to {NAME_OCTETS} octets for an interface")
    fds: list[int] = []
    offloads = 0
    try:
        for number in range(queues):
            fds.append(_open_inside(netns))
            flags = (IFF_MULTI_QUEUE if queues > 1 else 0) | (0 if number else IFF_TUN_EXCL)
            offloads = _attach(fds[-1], name, netns, flags)
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return Tun(name=name, fd=fds[0], offloads=offloads, others=tuple(fds[1:]))


def _open_inside(netns: str | None) -> int:
    """Return the device opened there: in that namespace what it is attached to comes to be."""
    with inside(netns):
        try:
            return open_device()
        except NatlbError as error:
            raise type(error)(error.message, fix=f"{error.fix}; or {WITHOUT}") from error


def open_device() -> int:
    """Return /dev/net/tun opened in this thread's namespace, not attached to a device yet."""
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise explain_device(error.errno or 0) from error


def why_no_tun() -> NatlbError | None:
    """Return why /dev/net/tun cannot be opened, having tried; None where it can."""
    try:
        os.close(open_device())
    except NatlbError as error:
        return error
    return None


def explain_device(reason: int) -> NatlbError:
    """Return why /dev/net/tun could not be opened, with the mode and owner seen, and the mend."""
    if reason == errno.ENOENT:
        return HostError(f"no {DEVICE}", fix=f"modprobe tun; for a container: --device {DEVICE}")
    if reason in (errno.ENODEV, errno.ENXIO):
        return HostError(
            f"{DEVICE} is there, but this kernel has no TUN driver", fix="modprobe tun"
        )
    seen = _mode_and_owner()
    if reason == errno.EACCES:
        fix = f"as root of the host: chmod 0666 {DEVICE}"
        return HostError(f"{DEVICE} cannot be opened, {seen}", fix=fix)
    if reason == errno.EPERM:  # the devices that a container's cgroup allows
        fix = f"start the container with --device {DEVICE}"
        return HostError(f"{DEVICE} cannot be opened, {seen}", fix=fix)
    return HostError(
        f"{DEVICE} cannot be opened, {seen}: {os.strerror(reason)}", fix="modprobe tun"
    )


def _mode_and_owner() -> str:
    try:
        found = DEVICE.stat()
    except OSError:
        return "mode and owner unknown"
    return f"mode {stat.S_IMODE(found.st_mode):04o}, owner {found.st_uid}:{found.st_gid}"


def _attach(fd: int, name: str, netns: str | None, flags: int) -> int:
    """Make the device, or one more queue of it, and return the offloads taken."""
    flags |= IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    try:
        ioctl(fd, TUNSETIFF, pack("16sH22x", name.encode(), flags))
        ioctl(fd, TUNSETVNETHDRSZ, pack("i", VNET_HEADER_OCTETS))
    except OSError as error:
        raise _explain_attach(error.errno or 0, name, netns) from error
    return next(offloads for offloads in OFFLOADS if _takes(fd, offloads))


def _explain_attach(reason: int, name: str, netns: str | None) -> NatlbError:
    where = f" in network namespace {netns}" if netns else ""
    if reason in (errno.EBUSY, errno.EEXIST):
        return BusyError(
            f"there is an interface {name}{where} already: another natlb, or what it left",
            fix=f"natlb cleanup, or: ip link delete {name}",
        )
    if reason in (errno.EPERM, errno.EACCES):
        return DeniedError(
            f"need CAP_NET_ADMIN to make TUN device {name}{where}", fix="sudo natlb …"
        )
    return HostError(f"cannot make TUN device {name}{where}: {os.strerror(reason)}")


def _takes(fd: int, offloads: int) -> bool:
    try:
        ioctl(fd, TUNSETOFFLOAD, offloads)
    except OSError:
        return False
    return True
