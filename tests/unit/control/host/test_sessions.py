"""One session a namespace, and none left open."""

from __future__ import annotations

from natlb.control.host.sessions import Sessions


def test_a_namespace_has_one_session_and_it_is_closed_in_the_end() -> None:
    """A session is a socket: asked for twice, it is the same; afterwards, a new one."""
    with Sessions() as sessions:
        first = sessions.netlink("")
        again = sessions.netlink("")
    with sessions:
        later = sessions.netlink("")

    assert first is again
    assert later is not first
