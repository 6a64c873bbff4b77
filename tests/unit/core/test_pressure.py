from __future__ import annotations

from random import Random
from typing import Any

import pytest

from natlb.core.flow_recovery import recover
from natlb.core.layout import (
    ANSWERED,
    CLOSED,
    CLOSING,
    CREATED_SHIFT,
    DETACHED,
    ESTABLISHED,
    HALF_REPLY,
    MARK_DATAGRAMS,
    MARK_UNCONFIRMED,
    OPENING,
    REPLIED,
    TICK,
    UNCONFIRMED,
    UNREPLIED,
)
from natlb.core.lifetime import end_flow
from natlb.core.pressure import AGE_CLASSES, join_unconfirmed, leave_unconfirmed
from natlb.testing import packets
from tests.datapath import (
    CLIENT,
    VIP,
    broken_laws,
    engine,
    established,
    live_rows,
    unconfirmed_rows,
)
from tests.kernels import add_flow, needs_plain_kernels, table_of

needs_plain_kernels()

WEB, DNS = f"{VIP}:80", f"{VIP}:53"


def faults(path: Any) -> list[str]:
    """Return which laws do not hold."""
    return broken_laws(path._flows, path._counters)


def test_rows_join_at_the_young_end_and_leave_anywhere() -> None:
    """Against a Python list."""
    random = Random(1)
    flows = table_of(40)
    numbers = [add_flow(flows, number) for number in range(40)]
    expected: list[int] = []
    for _ in range(2000):
        number = random.choice(numbers)
        if number in expected:
            expected.remove(number)
            leave_unconfirmed(flows, flows.rows[number])
        else:
            expected.append(number)
            join_unconfirmed(flows, number)
        assert unconfirmed_rows(flows) == expected
        assert int(flows.meta[UNCONFIRMED]) == len(expected)


def test_a_mark_says_who_is_in_the_list_and_leaves_other_marks_alone() -> None:
    """Both ways."""
    flows = table_of(2)
    number = add_flow(flows, 1)
    flows.rows[number]["marks"] = MARK_DATAGRAMS
    join_unconfirmed(flows, number)
    assert flows.rows[number]["marks"] == MARK_DATAGRAMS | MARK_UNCONFIRMED
    leave_unconfirmed(flows, flows.rows[number])

    assert flows.rows[number]["marks"] == MARK_DATAGRAMS


def talk(path: Any, words: str, port: int = 40000) -> None:
    """Play segments of a client and its backend: `c:S b:SA c:A`, `c:U b:U`."""
    source, server = f"{CLIENT}:{port}", ""
    for word in words.split():
        who, _, flags = word.partition(":")
        vip = DNS if flags == "U" else WEB
        ends = (source, vip) if who == "c" else (server, source)
        numbers: dict[str, Any] = {}
        if flags != "S":
            numbers = {"sequence": 1001, "acknowledgement": 1001}
        if flags == "SA":
            numbers["sequence"] = 1000
        packet = packets.udp(*ends) if flags == "U" else packets.tcp(*ends, flags, **numbers)
        result = path.process(packet, 0.0)
        server = server or packets.read(result.packets[0]).destination


@pytest.mark.parametrize(
    ("words", "unconfirmed"),
    [
        ("c:S", 1),
        ("c:S c:S", 1),
        ("c:S b:SA", 1),
        ("c:S b:SA c:A", 0),
        ("c:S b:SA c:A c:FA b:FA", 0),
        ("c:S b:RA", 1),  # a backend that refuses a forged SYN has confirmed nobody
        ("c:U c:U", 1),
        ("c:U b:U", 0),
    ],
)
def test_a_flow_is_in_the_list_until_it_is_confirmed(words: str, unconfirmed: int) -> None:
    """By an established connection, or an answer to a datagram."""
    path = engine()
    talk(path, words)
    assert int(path._flows.meta[UNCONFIRMED]) == unconfirmed
    assert not faults(path)
    path.command("flush", 0.0)

    assert int(path._flows.meta[UNCONFIRMED]) == 0
    assert not faults(path)


def test_flows_that_end_leave_the_list_in_any_order() -> None:
    """The one in the middle, the oldest, the youngest, the last one."""
    path = engine()
    for port in range(40000, 40005):
        talk(path, "c:S", port)
    for number in (3, 1, 5, 2, 4):
        end_flow(path._core, number, CLOSED)
        assert not faults(path)
    assert unconfirmed_rows(path._flows) == []


@pytest.mark.parametrize("state", [OPENING, ANSWERED, UNREPLIED, CLOSING, DETACHED])
def test_recovery_makes_the_list_anew(state: int) -> None:
    """Closing and detached flows stay in it by their mark, the others by what they are."""
    path = engine()
    talk(path, "c:S", 40000)
    talk(path, "c:S b:SA c:A", 40001)
    flows = path._flows
    flows.rows[1]["state"] = state
    for number in (1, 2):
        flows.rows[number]["link"], flows.rows[number]["back"] = 7, 7  # half stored
    recover(flows, path._counters)
    assert unconfirmed_rows(flows) == [1]
    assert not faults(path)
    if state not in (CLOSING, DETACHED):
        flows.rows[1]["marks"] = 0  # killed before it joined
        recover(flows, path._counters)
        assert unconfirmed_rows(flows) == [1]


@pytest.mark.parametrize("state", [ESTABLISHED, HALF_REPLY, REPLIED])
def test_recovery_takes_a_mark_from_who_was_confirmed_meanwhile(state: int) -> None:
    """The worker was killed between the state and the list."""
    path = engine()
    talk(path, "c:S")
    path._flows.rows[1]["state"] = state
    recover(path._flows, path._counters)

    assert unconfirmed_rows(path._flows) == []
    assert path._flows.rows[1]["marks"] == 0
    assert not faults(path)


@pytest.mark.parametrize("now", [0, 50_000, (1 << 37) - 40_000])
def test_recovery_tells_the_young_from_the_old(now: int) -> None:
    """In eight classes, also where the steps of 32 ms wrap; nobody twice, nobody left out."""
    random = Random(3)
    flows = table_of(300)
    flows.meta[TICK] = now
    ages = [random.randrange(0, 20_000) for _ in range(300)]
    for number, age in enumerate(ages):
        row = add_flow(flows, number)
        flows.rows[row]["created"] = (now - age >> CREATED_SHIFT) & 0xFFFFFFFF
    recover(flows, engine()._counters)
    order = [ages[number - 1] for number in unconfirmed_rows(flows)]

    assert sorted(unconfirmed_rows(flows)) == live_rows(flows)
    step = max(ages) / AGE_CLASSES + 2 * (1 << CREATED_SHIFT)
    oldest_behind = [max(order[at:]) for at in range(len(order))]
    assert all(behind <= age + step for age, behind in zip(order, oldest_behind, strict=True))


def test_an_established_flow_is_never_in_the_list() -> None:
    """Nor does it come back when it closes."""
    path = engine()
    established(path, f"{CLIENT}:40000")
    path.process(packets.tcp(f"{CLIENT}:40000", WEB, "RA", sequence=1001), 0.0)

    assert unconfirmed_rows(path._flows) == []
    assert not faults(path)
