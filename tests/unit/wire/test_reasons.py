from __future__ import annotations

from natlb.wire import reasons
from natlb.wire.reasons import ACCEPTED, DropReason
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

CONTRACT = (
    "malformed bad-checksum martian unsupported ttl-expired no-service no-backend no-route "
    "service-limit backend-limit source-limit table-full port-exhausted out-of-state "
    "fragment-timeout fragment-limit fragment-overlap icmp-unmatched mtu-exceeded rate-limit "
    "queue-full access internal"
)


def test_the_list_of_reasons_is_the_contracts() -> None:
    """Closed and in order: counters lie in memory by these numbers."""
    assert [reason.label for reason in DropReason] == CONTRACT.split()
    assert [f"{reason}" for reason in DropReason] == CONTRACT.split()
    assert [int(reason) for reason in DropReason] == list(range(1, 24))


def test_kernels_use_the_same_numbers() -> None:
    """They need plain integers, which must not drift from the names."""
    assert ACCEPTED not in set(DropReason)
    for reason in DropReason:
        if hasattr(reasons, reason.name):
            number = getattr(reasons, reason.name)
            assert type(number) is int
            assert number == reason
