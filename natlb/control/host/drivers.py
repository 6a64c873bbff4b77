"""What each driver would need here, a line each: `natlb doctor`'s.

    tun       /dev/net/tun                             CAP_NET_ADMIN, CAP_NET_RAW
    packet    packet sockets                           CAP_NET_ADMIN, CAP_NET_RAW
    xdp       AF_XDP sockets, and a program to load    CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF

Several workers over a TUN load a program as well. A driver that is not to be used here stops
nothing by what it lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.host.check import BOTH, fail, ok, warn
from natlb.errors import DeniedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.host.check import Check, Purpose
    from natlb.control.host.plan import Driver, Wanted
    from natlb.control.host.probe import Probe
    from natlb.errors import NatlbError

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}  # Linux: capability.h
CAP_BPF = {"CAP_BPF": 39}
OPENS: dict[Driver, str] = {
    "tun": "/dev/net/tun opens",
    "packet": "packet sockets open",
    "xdp": "AF_XDP sockets open",
}


def used_driver(probe: Probe, wanted: Wanted | None = None) -> Driver:
    """Return the driver that would bring packets in here, as `choose` has it."""
    if wanted is not None and wanted.driver != "auto":
        return wanted.driver
    return "tun" if probe.tun() is None else "packet"


def drivers(probe: Probe, wanted: Wanted | None = None) -> Iterator[Check]:
    """Yield for each driver that it would work here, or what is missing and how to get it."""
    reasons: dict[Driver, NatlbError | None] = {
        "tun": probe.tun(),
        "packet": probe.packet(),
        "xdp": probe.xdp(),
    }
    used, held = used_driver(probe, wanted), probe.capabilities()
    for driver, reason in reasons.items():
        needed = CAPABILITIES | (CAP_BPF if _loads_a_program(driver, wanted) else {})
        missing = [name for name, bit in needed.items() if not held >> bit & 1]
        needs = f"needs {', '.join(needed)}"
        if reason is None and not missing:
            yield ok(driver, f"{OPENS[driver]}; {needs}")
            continue
        seen, fix = f"{needs}: {' and '.join(missing)} missing", "sudo natlb run …"
        if reason is not None and not (missing and isinstance(reason, DeniedError)):
            seen, fix = f"{reason.message}; {needs}", reason.fix or "another driver"
        # Who runs a lab gets the rights in a namespace of its own; a device or a kernel's part not.
        lacks_rights = reason is None or isinstance(reason, DeniedError)
        stops: tuple[Purpose, ...] = ("gateway",) if lacks_rights else BOTH
        yield fail(driver, seen, fix, stops) if driver == used else warn(driver, seen, fix)


def _loads_a_program(driver: Driver, wanted: Wanted | None) -> bool:
    """Return whether this driver loads a program into the kernel, which is a right of its own."""
    return driver == "xdp" or (driver == "tun" and wanted is not None and wanted.workers > 1)
