"""Netlink sessions, one for each namespace, opened when first needed and closed together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from natlb.netlink import Netlink

if TYPE_CHECKING:
    from types import TracebackType


class Sessions:
    """A context manager that holds the sessions."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._sessions: dict[str, Netlink] = {}

    def __enter__(self) -> Self:
        """Return the holder."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close all sessions."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def netlink(self, netns: str) -> Netlink:
        """Return the session of this namespace; the empty name is natlb's own."""
        if netns not in self._sessions:
            self._sessions[netns] = Netlink(netns or None)
        return self._sessions[netns]
