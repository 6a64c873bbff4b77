from __future__ import annotations

import pytest

from natlb.control.policy.program import compile_program
from natlb.core.layout import (
    FIRST_PROGRAM,
    PROGRAM_OWNER,
    PROGRAM_STATE,
    WEIGHT_ONE,
    WORD_FALLBACKS,
)
from natlb.core.policy import NO_BACKEND_INDEX, NewFlow, pick
from natlb.core.policy.program import OUTCOME, OUTSIDE, RAISED, STEPS, WHOLE_OWN, pick_with
from tests.kernels import needs_plain_kernels
from tests.unit.core.policy.pools import FIRST, flow_of, give_load, pool_of, start_slowly
from tests.unit.core.policy.programs import OWNER, asks, program, source_of

needs_plain_kernels()


def test_its_position_is_the_pools() -> None:
    """Not the index of a backend: that is nobody's business."""
    source = source_of("return 1")
    pool = asks(pool_of([1, 1, 1], indexes=[9, 4, 2]), source)

    assert pick_with([compile_program(source)])(pool, 0, flow_of()) == 4


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("int(pool.weights[0])", 2),
        ("int(pool.weights[1] * 2)", 1),
        ("int(pool.weights[2])", 0),
        ("pool.flows[0] - pool.flows[1]", 2),
        ("pool.opening[0]", 1),
        ("int(pool.handshakes[1] * 8)", 2),
        ("pool.identities[2] - 40", 2),
        ("len(pool.weights) - pool.state.size // 1024", 2),
        ("flow.hash - 5", 2),
        ("flow.port - 40000", 0),
        ("flow.client[3] - 3325256704 + flow.client[2] - 65535", 2),
        ("int(flow.now)", 1),
        ("int(flow.random * 4)", 2),
        ("(flow.port_hash != flow.hash) * 2", 2),
    ],
)
def test_it_sees_pool_and_flow(expression: str, expected: int) -> None:
    """Each field is what `natlb.policy` says it is."""
    choose, pool = program(f"return {expression}", (2, 1, 1))
    for index, flows in ((FIRST, 3), (FIRST + 1, 1), (FIRST + 2, 1)):
        give_load(pool, index, flows)
    pool.counts[FIRST]["opening"] = 1
    pool.notes[FIRST + 1]["handshake_us"] = 250_000
    pool.backends[FIRST + 2]["identity"] = 42
    pool.backends[FIRST + 2]["max_flows"] = 1
    start_slowly(pool, FIRST + 1, began_ms=0, seconds=2.0)
    choose(pool, 0, flow_of(7, draw=1 << 30, now=1000))

    assert pool.wholes[WHOLE_OWN, 1] == expected


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("return 3", OUTSIDE),
        ("return -1", OUTSIDE),
        ("while True:\n    pool.state[0] += 1", RAISED),
        ("x = pool.flows[3]\nreturn 0", RAISED),
        ("return 0.5", RAISED),
        ("return flow.hash == 1", RAISED),
        ("return pool.flows[0.5]", RAISED),
    ],
)
def test_what_it_does_wrong_stops_nothing(body: str, outcome: int) -> None:
    """Backends get their turns by weight instead, and that is counted."""
    source = source_of(body)
    try:
        program_of_it = compile_program(source)
    except Exception:  # noqa: BLE001 - compiled, types are refused
        pytest.skip("does not compile")
    pool = asks(pool_of([2, 1, 1]), source)
    choose = pick_with([program_of_it])
    picked = [choose(pool, 0, flow_of()) - FIRST for _ in range(4)]

    assert sorted(picked) == [0, 0, 1, 2]
    assert pool.wholes[WHOLE_OWN, OUTCOME] == outcome
    assert pool.own[WORD_FALLBACKS] == 4


def test_one_without_room_is_not_given_it() -> None:
    """Also where the program names it."""
    choose, pool = program("return 1")
    pool.backends[FIRST + 1]["max_flows"] = 1
    give_load(pool, FIRST + 1, 1)

    assert choose(pool, 0, flow_of()) != FIRST + 1
    assert pool.own[WORD_FALLBACKS] == 1


def test_where_nobody_has_room_nothing_fell_back() -> None:
    """No policy had an answer there."""
    choose, pool = program("return 0", (1,))
    pool.backends[FIRST]["max_flows"] = 1
    give_load(pool, FIRST, 1)

    assert choose(pool, 0, flow_of()) == NO_BACKEND_INDEX
    assert pool.own[WORD_FALLBACKS] == 0


def test_an_empty_pool_asks_nobody() -> None:
    """There is no position to return."""
    choose, pool = program("return 1 // len(pool.flows)", ())

    assert choose(pool, 0, flow_of()) == NO_BACKEND_INDEX
    assert pool.own[WORD_FALLBACKS] == 0


def test_loops_have_a_budget_for_each_pick() -> None:
    """So many steps and no more; the next pick has as many again."""
    source = source_of("for at in range(int(pool.state[0])):\n    pool.state[1] = at\nreturn 0")
    pool = asks(pool_of([1]), source)
    choose = pick_with([compile_program(source)])
    choose(pool, 0, flow_of())
    reached = []
    for steps in (STEPS, 10 * STEPS, STEPS):
        pool.programs[3, 0] = steps
        choose(pool, 0, flow_of())
        reached.append(int(pool.programs[3, 1]) + 1)

    assert reached == [STEPS, STEPS + 20 - 1, STEPS]
    assert pool.own[WORD_FALLBACKS] == 1


def test_its_state_is_kept_and_its_own() -> None:
    """Another owner at the same place begins from zeros."""
    source = source_of("pool.state[5] += 1\nreturn 0")
    choose = pick_with([compile_program(source)])
    pool = asks(pool_of([1, 1]), source)
    for _ in range(3):
        choose(pool, 0, flow_of())

    assert pool.programs[3, 5] == 3
    assert pool.programs[3, PROGRAM_OWNER] == OWNER

    choose(asks(pool, source, owner=OWNER + 1), 0, flow_of())

    assert pool.programs[3, 5] == 1
    assert not pool.programs[3, :5].any()
    assert PROGRAM_STATE == 1024


def test_each_choice_asks_its_own_program() -> None:
    """Of several that a worker knows."""
    sources = [source_of(f"return {position}") for position in range(3)]
    choose = pick_with([compile_program(source) for source in sources])
    pool = pool_of([1, 1, 1])

    assert [choose(asks(pool, each), 0, flow_of()) - FIRST for each in sources] == [0, 1, 2]


def test_policies_of_natlbs_own_go_on() -> None:
    """What knows programs knows the others too."""
    choose, _ = program("return 0")
    pool = pool_of([1, 1], "round-robin")

    assert [choose(pool, 0, flow_of()) - FIRST for _ in range(3)] == [0, 1, 0]


@pytest.mark.parametrize("knows_another", [False, True])
def test_a_program_that_the_worker_was_not_given_is_replaced(knows_another: bool) -> None:
    """It never stops for that; it counts."""
    other = pick_with([compile_program(source_of("return 1"))])
    pool = asks(pool_of([1, 1]), source_of("return 0"))
    choose = other if knows_another else pick

    assert pool.choices[0]["policy"] == FIRST_PROGRAM + 3
    assert sorted(choose(pool, 0, flow_of()) - FIRST for _ in range(2)) == [0, 1]
    assert pool.own[WORD_FALLBACKS] == 2


def test_a_weight_is_what_the_configuration_says() -> None:
    """Not the fixed point that tables hold."""
    choose, pool = program("return int(pool.weights[0])", (2, 1, 1))

    assert pool.backends[FIRST]["weight"] == 2 * WEIGHT_ONE
    assert choose(pool, 0, NewFlow(*flow_of())) == FIRST + 2
