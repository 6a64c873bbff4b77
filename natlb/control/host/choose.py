"""Which driver brings packets in: the one that is configured, or for `auto` what works here.

`tun` wherever /dev/net/tun can be opened: it gets exactly the services' packets, the host's own
processes may call a VIP, and the host's filters are asked. `packet` where it cannot, as in a
container without the device: packet sockets need none. `xdp` only where it is asked for: it takes
the queues of an interface for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.errors import HostError

if TYPE_CHECKING:
    from natlb.control.host.plan import Driver, Wanted
    from natlb.control.host.reader import HostReader
    from natlb.errors import NatlbError


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A driver, and why it is this one; `without` is what keeps a better one from being used."""

    driver: Driver
    reason: str
    without: NatlbError | None = None

    def refuse(self, what: str, fix: str) -> HostError:
        """Return the refusal of what this driver cannot do, with all that stands in the way."""
        message = f"{what}, which driver {self.driver} cannot do"
        if self.without is None:
            return HostError(message, fix=fix)
        return HostError(f"{message}; and {self.without.message}", fix=self.without.fix)


def choose(wanted: Wanted, reader: HostReader) -> Choice:
    """Return the driver for this host; whether the one that is configured works, its use shows."""
    if wanted.driver != "auto":
        return Choice(driver=wanted.driver, reason=f"datapath.driver is {wanted.driver}")
    missing = reader.tun()
    if missing is None:
        return Choice(driver="tun", reason="/dev/net/tun opens")
    return Choice(driver="packet", reason=missing.message, without=missing)
