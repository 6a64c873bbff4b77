"""How many clients get another backend when one leaves, measured for each policy that hashes.

`docs/policies.md` holds the table that this prints (`pytest -s`). A flow that is tracked stays
where it is, whatever the policy: what moves here are the clients' next flows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from natlb.control.policy import COMPILERS, Member, Order
from tests.spread import owners, spread_hashes
from tests.unit.core.policy.pools import pool_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.control.policy import Memory

DOCS = Path(__file__).parents[2] / "docs" / "policies.md"
CLIENTS = 200_000
LEAVE = 8  # so many leave, each of them alone, and come back
SEED = 1


class Case(NamedTuple):
    """A policy, what it is told, and what was published of it for pools of 128."""

    policy: str
    parameters: dict[str, object]
    most: float  # times the necessary: what is asserted
    published: str = ""

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self.parameters.items())
        return f"{self.policy}, {told}" if told else self.policy


MINIMAL = "1, proven"
CASES = [
    Case("source-hash", {}, 1.0, MINIMAL),
    Case("destination-hash", {}, 1.0, MINIMAL),
    Case("rendezvous", {}, 1.0, MINIMAL),
    Case("anchor", {}, 1.0, MINIMAL),
    Case("maglev", {"size": 65537}, 2.0, "1.75"),
    Case("maglev", {"size": 4093}, 5.5, "4.6"),
    Case("bounded-load", {"base": "rendezvous"}, 1.0),
    Case("bounded-load", {"base": "maglev"}, 2.0),
]


class Measured(NamedTuple):
    """Shares of clients: those that moved, those that had to, those not back in the end."""

    moved: float
    necessary: float
    astray: float

    def row(self, what: str, size: int, published: str) -> str:
        """Return a line of the table."""
        shares = " | ".join(f"{100 * share:.2f} %" for share in self[:2])
        times = f"{self.moved / self.necessary:.2f}"
        return f"| {what} | {size} | {shares} | {times} | {published} | {100 * self.astray:.2f} % |"


def measured(spread: Callable[[list[int], bool], Any], size: int) -> Measured:
    """Return the mean over LEAVE members; `spread` says who gets whom in a pool, or once back."""
    whole = list(range(size))
    before = spread(whole, False)
    found = []
    for gone in range(0, size, -(-size // LEAVE)):
        after = spread([number for number in whole if number != gone], False)
        back = spread(whole, True)
        found.append([(before != after).mean(), (before == gone).mean(), (before != back).mean()])
    return Measured(*np.mean(found, axis=0).tolist())


def by_policy(case: Case) -> Callable[[list[int], bool], Any]:
    """Return who gets whom by a policy, which knows its pool of a moment ago."""
    hashes = spread_hashes(CLIENTS, SEED)
    memory: Memory = {}

    def spread(numbers: list[int], is_back: bool) -> Any:
        nonlocal memory
        names = [f"10.9.0.{number}:80" for number in numbers]
        members = [Member(*each, 1) for each in zip(numbers, names, strict=True)]
        order = Order(members=members, seed=SEED, parameters=case.parameters, memory=memory)
        pool = pool_of(
            [1] * len(numbers),
            case.policy,
            indexes=numbers,
            names=names,
            seed=SEED,
            parameters=case.parameters,
            memory=memory,
        )
        memory = COMPILERS[case.policy](order).memory
        return owners(pool, hashes)

    return spread


def modulo(numbers: list[int], is_back: bool) -> Any:
    """Return who gets whom by hash modulo size, which is no policy of natlb's."""
    return np.array(numbers)[spread_hashes(CLIENTS, SEED) % len(numbers)]


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, int], Measured]:
    """Return what was measured, by case and size of the pool."""
    found = {}
    for size in (10, 128):
        for case in CASES:
            found[str(case), size] = measured(by_policy(case), size)
        found["hash modulo size", size] = measured(modulo, size)
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("size", [10, 128])
def test_few_clients_move_but_those_that_must(
    table: dict[tuple[str, int], Measured], case: Case, size: int
) -> None:
    """None at all by rendezvous and AnchorHash; and all are back when it is."""
    found = table[str(case), size]

    assert found.necessary == pytest.approx(1 / size, rel=0.15)
    assert found.necessary <= found.moved <= case.most * found.necessary
    assert found.astray == 0


def test_hash_modulo_size_moves_nearly_everybody(
    table: dict[tuple[str, int], Measured],
) -> None:
    """Which is why it is no policy: n - 1 of n."""
    assert table["hash modulo size", 10].moved == pytest.approx(0.9, abs=0.01)
    assert table["hash modulo size", 128].moved == pytest.approx(127 / 128, abs=0.01)


def test_the_documentation_has_what_was_measured(
    table: dict[tuple[str, int], Measured],
) -> None:
    """Each line, as it is printed here."""
    published = {(str(case), 128): case.published for case in CASES}
    head = "policy | pool | moved | necessary | times | published | moved once it is back"
    lines = [f"| {head} |", "|" + " --- |" * 7]
    for (what, size), found in table.items():
        lines.append(found.row(what, size, published.get((what, size), "")))
    text = "\n".join(lines)
    print(f"\n{text}")  # noqa: T201 - to be put there

    assert text in DOCS.read_text(encoding="utf-8"), "put this table in docs/policies.md"
