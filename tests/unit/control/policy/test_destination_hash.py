from __future__ import annotations

import pytest

from natlb.control.policy import Member, Order
from natlb.control.policy.destination_hash import compile_destination_hash
from natlb.control.policy.source_hash import compile_source_hash
from natlb.core.layout import KEY_DESTINATION, KEY_DESTINATION_PORT

MEMBERS = [Member(10 + at, f"b{at}", 1) for at in range(3)]


@pytest.mark.parametrize(
    ("parameters", "key"),
    [({}, KEY_DESTINATION), ({"key": "address"}, KEY_DESTINATION),
     ({"key": "address-port"}, KEY_DESTINATION_PORT)],
)  # fmt: skip
def test_what_was_called_is_hashed(parameters: dict[str, object], key: int) -> None:
    """Its address, or its port too; the ring is source hash's."""
    order = Order(members=MEMBERS, seed=3, parameters=parameters)
    compiled = compile_destination_hash(order)

    assert compiled.key == compile_destination_hash(Order(members=[], parameters=parameters)).key
    assert compiled.key == key
    assert (compiled.ring == compile_source_hash(order).ring).all()
