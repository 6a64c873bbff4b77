"""The host as the supervisor asks for it: what is done with rights, and with pyroute2 behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from natlb.control.messages import Role


class Host(Protocol):
    """The host's network, set up and put back; every method may raise HostError."""

    def recover(self) -> None:
        """Undo what the journal says that a crash left."""

    def apply(self, wanted: bytes) -> tuple[bytes, dict[Role, int]]:
        """Make the host's network so; return the plan that was applied, and new queues.

        The first brings both queues; a later one none, unless a device had to be made anew.
        Where it fails, the host looks as it did before. Octets that want nothing sensible raise.
        """

    def adopt(self, plan: bytes) -> None:
        """Take this plan as applied: a supervisor that died did it."""

    def rebuild(self, lost: Role) -> dict[Role, int]:
        """Make the device of this side again, with its addresses, routes and rules."""

    def undo(self) -> None:
        """Put the host back as it was found."""
