from __future__ import annotations

from natlb.control.policy import Compiled, Member, Order
from natlb.control.policy.rendezvous import SLOTS, compile_rendezvous
from natlb.core.layout import KEY_SOURCE, KEY_SOURCE_PORT

MEMBERS = [Member(10 + at, f"b{at}", 1) for at in range(5)]


def compiled(count: int, **parameters: object) -> Compiled:
    """Return what is made for so many members."""
    return compile_rendezvous(Order(members=MEMBERS[:count], seed=1, parameters=parameters))


def test_there_are_as_many_slots_as_the_configuration_says() -> None:
    """However large the pool; none for an empty one."""
    assert [compiled(count).ring.size for count in (0, 1, 5)] == [0, SLOTS, SLOTS]
    assert compiled(5, slots=4096).ring.size == 4096


def test_address_and_port_are_hashed_unless_told() -> None:
    """Each connection for itself, or a client's all together."""
    assert compiled(5).key == compiled(0).key == KEY_SOURCE_PORT
    assert compiled(5, key="address").key == KEY_SOURCE


def test_a_member_that_leaves_disturbs_no_other() -> None:
    """Its slots alone change hands."""
    before, after = compiled(5).ring, compiled(4).ring

    assert (before[before != after] == 14).all()
    assert (before == 14).any()
