from __future__ import annotations

from natlb.control.policy import Member, Order
from natlb.control.policy.python import compile_python
from natlb.core.layout import KEY_SOURCE


def test_it_has_no_ring() -> None:
    """The program gets the pool; what is hashed for it is the client's address."""
    compiled = compile_python(Order(members=[Member(0, "a", 1)]))

    assert (compiled.ring.size, compiled.key) == (0, KEY_SOURCE)
