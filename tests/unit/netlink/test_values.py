from __future__ import annotations

import errno

from natlb.errors import HostError
from natlb.netlink.values import KernelError


def test_a_refusal_says_what_where_and_why() -> None:
    """The kernel's own words where it has some, those of the number otherwise."""
    plain = KernelError("cannot add route 10.0.0.0/8", errno.EEXIST)
    told = KernelError("cannot set the MTU of eth0 to 9", errno.EINVAL, "mtu less than minimum")

    assert isinstance(plain, HostError)
    assert plain.message == "cannot add route 10.0.0.0/8: File exists"
    assert told.message == "cannot set the MTU of eth0 to 9: mtu less than minimum"
    assert (plain.errno, plain.exit_code) == (errno.EEXIST, 78)
