from __future__ import annotations

from natlb.policy import Flow, Pool


def test_a_policy_can_be_tried_in_plain_python() -> None:
    """With lists of one's own."""

    def pick(pool: Pool, flow: Flow) -> int:
        return int(flow.random * len(pool.weights))

    pool = Pool([1.0, 2.0], [0, 0], [0, 0], [0.0, 0.0], [5, 6], [0.0] * 1024)

    assert pick(pool, Flow(1, 2, (0, 0, 0xFFFF, 1), 40000, 0.0, 0.75)) == 1
