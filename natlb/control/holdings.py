"""The fds that outlive a process: what supervisor and control hold for each other.

Each of the two keeps a duplicate of every fd that must not die with the other, under its role and,
where it is one worker's, that worker's number. Whoever makes or replaces one tells the other by
`Hold`; a new control gets all of them from the supervisor, an adopting supervisor from control.

Law: a holding owns its fd: it is closed when it is replaced or released.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from natlb.control.messages import Hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.channel import Channel
    from natlb.control.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """An fd with what its `Hold` said of it."""

    fd: int
    value: int = 0
    stamp: int = 0


class Holdings:
    """Everything that is held, by role and number."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: dict[tuple[Role, int], Holding] = {}

    def take(self, said: Hold, fd: int) -> None:
        """Own `fd` as what the message says it is, in the place of its predecessor."""
        self.release(said.role, said.index)
        self._held[said.role, said.index] = Holding(fd=fd, value=said.value, stamp=said.stamp)

    def release(self, role: Role, index: int = 0) -> None:
        """Close what is held here, if anything is."""
        held = self._held.pop((role, index), None)
        if held is not None:
            os.close(held.fd)

    def give(self, said: Hold) -> list[int]:
        """Return the fd that is held where the message says, if any, for the caller to own."""
        held = self._held.pop((said.role, said.index), None)
        return [] if held is None else [held.fd]

    def get(self, role: Role, index: int = 0) -> Holding | None:
        """Return what is held here, which stays the owner of its fd."""
        return self._held.get((role, index))

    def __contains__(self, place: tuple[Role, int]) -> bool:
        return place in self._held

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[tuple[Hold, int]]:
        for (role, index), held in sorted(self._held.items()):
            yield Hold(role=role, index=index, value=held.value, stamp=held.stamp), held.fd

    def send(self, channel: Channel, *roles: Role) -> None:
        """Tell the other end to hold all this too, or what has one of these roles."""
        for said, fd in self:
            if not roles or said.role in roles:
                channel.send(said, fd)

    def hand_to(self, others: Holdings) -> None:
        """Have another own everything that is held here."""
        for said, fd in list(self):
            others.take(said, fd)
        self._held.clear()

    def close(self) -> None:
        """Release everything."""
        for said, _ in list(self):
            self.release(said.role, said.index)
