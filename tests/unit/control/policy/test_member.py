from __future__ import annotations

import dataclasses

import pytest

from natlb.control.policy.member import Member


def test_a_member_is_a_value() -> None:
    """Policies compare and sort it."""
    member = Member(3, "b1", 2)

    assert member == Member(index=3, key="b1", weight=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        member.weight = 5  # type: ignore[misc]
