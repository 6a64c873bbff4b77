"""Policies of a user's own in tests: from text to a pool that they choose for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from natlb.control.policy.program import compile_program
from natlb.control.policy.program_source import ProgramSource
from natlb.core.layout import FIRST_PROGRAM
from natlb.core.policy.program import pick_with
from tests.unit.core.policy.pools import pool_of

if TYPE_CHECKING:
    from natlb.core.choice import Pick
    from natlb.core.policy import Pool

OWNER = 77


def source_of(body: str, function: str = "pick", *, head: str = "") -> ProgramSource:
    """Return a program whose function `pick(pool, flow)` has this body."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    text = f"{head}def pick(pool, flow):\n{lines}"
    return ProgramSource(file="mine.py", function=function, text=text)


def asks(pool: Pool, source: ProgramSource, slot: int = 3, owner: int = OWNER) -> Pool:
    """Return a pool whose policy is this program."""
    choices = pool.choices.copy()
    choices[0]["policy"], choices[0]["parameter0"] = FIRST_PROGRAM + slot, source.identity
    choices[0]["parameter1"] = owner
    choices.flags.writeable = False
    return pool._replace(choices=choices)


def program(body: str, weights: tuple[int, ...] = (1, 1, 1), head: str = "") -> tuple[Pick, Pool]:
    """Return a `pick()` that knows a program, and a pool that it chooses for."""
    source = source_of(body, head=head)
    return pick_with([compile_program(source)]), asks(pool_of(weights), source)
