from __future__ import annotations

import pytest

from natlb.core.verdict import ECHO, REASON_LABELS, DropReason, Verdict, answered, drop
from tests.kernels import needs_plain_kernels

needs_plain_kernels()


@pytest.mark.parametrize("reason", list(DropReason))
def test_an_outcome_names_its_verdict_and_its_reason(reason: DropReason) -> None:
    """Both in one integer, which a batch keeps for each packet."""
    assert (drop(int(reason)) & 0xFF, drop(int(reason)) >> 8) == (Verdict.DROP, reason)
    assert (answered(int(reason)) & 0xFF, answered(int(reason)) >> 8) == (Verdict.REPLY, reason)


def test_every_reason_has_a_label_and_so_has_the_echo() -> None:
    """Counters are shown by these."""
    assert REASON_LABELS[ECHO] == "echo"
    assert {REASON_LABELS[reason] for reason in DropReason} == {each.label for each in DropReason}
    assert len(REASON_LABELS) == len(DropReason) + 1


def test_the_verdicts_are_the_contracts() -> None:
    """Five, whose numbers fit beside a reason."""
    assert [verdict.name for verdict in Verdict] == ["FORWARD", "PASS", "REPLY", "HOLD", "DROP"]
    assert all(0 < verdict <= 0xFF for verdict in Verdict)
