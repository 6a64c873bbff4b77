from __future__ import annotations

import pytest

from natlb.control.policy import COMPILERS, Member, Order
from natlb.control.policy.bounded_load import compile_bounded_load

MEMBERS = [Member(10 + at, f"b{at}", 1) for at in range(3)]


@pytest.mark.parametrize(
    ("parameters", "base"),
    [({}, "maglev"), ({"base": "maglev", "size": 251}, "maglev"),
     ({"base": "rendezvous", "slots": 4096, "key": "address"}, "rendezvous")],
)  # fmt: skip
def test_the_ring_is_its_base_s(parameters: dict[str, object], base: str) -> None:
    """With the parameters of that one."""
    order = Order(members=MEMBERS, seed=3, parameters=parameters)
    compiled, alone = compile_bounded_load(order), COMPILERS[base](order)

    assert (compiled.ring == alone.ring).all()
    assert compiled.key == alone.key


def test_a_factor_is_kept_in_thousandths() -> None:
    """1.25 unless told."""
    factors: list[dict[str, object]] = [{}, {"factor": 1.1}, {"factor": 10}]
    orders = [Order(members=MEMBERS, parameters={**each, "size": 7}) for each in factors]

    assert [compile_bounded_load(order).parameters for order in orders] == [
        (1250,),
        (1100,),
        (10000,),
    ]
