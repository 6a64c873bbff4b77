"""The fds that outlive a process."""

import os

from natlb.control.channel import Channel
from natlb.control.holdings import Holdings
from natlb.control.messages import Hold
from natlb.control.roles import Role


def is_open(fd: int) -> bool:
    """Return whether the fd is one."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_replaced_fd_is_closed() -> None:
    """Each generation of tables would leak one."""
    holdings = Holdings()
    old, new = os.memfd_create("old"), os.memfd_create("new")
    holdings.take(Hold(role=Role.TABLES, value=1), old)
    holdings.take(Hold(role=Role.TABLES, value=2), new)
    held = holdings.get(Role.TABLES)

    assert not is_open(old)
    assert held is not None
    assert (held.fd, held.value) == (new, 2)
    holdings.close()
    assert not is_open(new)


def test_everything_is_told_to_the_other_end() -> None:
    """A new control gets all from the supervisor, an adopting supervisor all from control."""
    one, other = Channel.pair()
    holdings, mirror = Holdings(), Holdings()
    holdings.take(Hold(role=Role.FLOWS, index=3, value=5, stamp=9), os.memfd_create("a"))
    holdings.take(Hold(role=Role.REGISTRY), os.memfd_create("b"))
    holdings.send(one)
    one.close()
    while received := other.receive():
        message, fds = received
        assert isinstance(message, Hold)
        mirror.take(message, fds.pop())

    assert [said for said, _ in mirror] == [said for said, _ in holdings]
    assert (Role.FLOWS, 3) in mirror
    assert (Role.FLOWS, 0) not in mirror
    mirror.close()
    holdings.close()
    other.close()


def test_releasing_what_is_not_held_is_nothing() -> None:
    """A worker's channels are released at its death, whether it got them or not."""
    holdings = Holdings()
    holdings.release(Role.LIFE_CHANNEL)

    assert holdings.get(Role.LIFE_CHANNEL) is None
    assert list(holdings) == []
