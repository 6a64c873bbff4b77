"""What can be told to each policy: its parameters, their defaults, and what must hold of them.

One model has the parameters of all policies, each checked by itself (`shape.py`); here it is said
which of them a policy has. A policy that is not in the table has none.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from math import isqrt
from typing import TYPE_CHECKING

from natlb.control.config.kinds import LEAST_SIZE, MOST_SIZE
from natlb.control.config.tree import Fault, Node, Path, fault_at, fault_at_key, follow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from natlb.control.config.choosing import PolicyShape
    from natlb.control.config.shape import ServiceShape

PARAMETERS: dict[str, dict[str, object]] = {
    "source-hash": {"key": "address"},
    "destination-hash": {"key": "address"},
    "maglev": {"size": 65_537, "key": "address-port"},
    "rendezvous": {"slots": 65_536, "key": "address-port"},
    "anchor": {"size": 1024, "key": "address-port"},
    "bounded-load": {"base": "maglev", "factor": 1.25, "key": "address-port"},
    "python": {"file": None, "function": "pick"},
}
"""The defaults of what each policy can be told; None: it has to be. A `base` brings its own."""


def parameters_of(policy: PolicyShape) -> dict[str, object]:
    """Return all parameters of a policy, each with its default where it was not given."""
    defaults = _defaults(policy)
    given = policy.model_fields_set & defaults.keys()
    return {**defaults, **{name: getattr(policy, name) for name in given}}


def _defaults(policy: PolicyShape) -> dict[str, object]:
    """Return the parameters of a policy, and of the one that it is based on, with defaults."""
    own = PARAMETERS.get(policy.name, {})
    base = policy.base or own["base"] if "base" in own else ""
    return {**own, **PARAMETERS.get(str(base), {})}


def check_policies(root: Node, path: Path, service: ServiceShape) -> Iterator[Fault]:
    """Complain of what a service's policy and shadow cannot be told, or not of this pool."""
    for key, policy in (("policy", service.policy), ("shadow", service.shadow)):
        if policy is not None:
            yield from _foreign(root, (*path, key), policy)
            yield from _table(root, (*path, key), policy, len(service.backends))


def goes_by_hash(policy: PolicyShape) -> bool:
    """Return whether a policy gives a client the same backend again, as long as the pool stays."""
    return "key" in _defaults(policy)


def _foreign(root: Node, path: Path, policy: PolicyShape) -> Iterator[Fault]:
    """Complain of parameters of other policies, and of one that is needed and not given."""
    defaults = _defaults(policy)
    known = ", ".join(sorted(defaults))
    for name in policy.model_fields_set - {"name"} - defaults.keys():
        has = f"has no parameter {name!r}, only {known}" if known else "has no parameters"
        yield replace(fault_at_key(root, (*path, name), f"{policy.name} {has}"), says_where=False)
    here = policy.model_fields_set | follow(root, path)[-1].missed
    for name, default in defaults.items():
        if default is None and name not in here:
            yield fault_at(root, path, f"{policy.name} needs a parameter {name!r}")


def _table(root: Node, path: Path, policy: PolicyShape, members: int) -> Iterator[Fault]:
    """Complain of a table that cannot be built, or not for a pool of so many."""
    parameters = parameters_of(policy)
    for name in ("size", "slots"):
        if not isinstance(size := parameters.get(name), int):
            continue
        if name == "slots":
            yield from _no_power(root, (*path, name), size)
        elif policy.name != "anchor":
            yield from _no_prime(root, (*path, name), size)
        if size < members:
            message = f"{name} {size} is smaller than the pool, which has {members} backends"
            yield fault_at(root, (*path, name), message)


def _no_prime(root: Node, path: Path, size: int) -> Iterator[Fault]:
    """Complain of a size by which a skip could divide: some slots would never be visited."""
    if not is_prime(size):
        below = next(n for n in range(size, LEAST_SIZE - 1, -1) if is_prime(n))
        above = next(n for n in count(size) if is_prime(n))
        near = f"{below} or {above}" if above <= MOST_SIZE else str(below)
        yield fault_at(root, path, f"{size} is not prime", f"the nearest are {near}")


def _no_power(root: Node, path: Path, slots: int) -> Iterator[Fault]:
    """Complain of slots that bits of a hash cannot name."""
    if slots & (slots - 1):
        below = 1 << (slots.bit_length() - 1)
        near = f"{below} or {2 * below}" if 2 * below <= MOST_SIZE else str(below)
        yield fault_at(root, path, f"{slots} is not a power of two", f"the nearest are {near}")


def is_prime(number: int) -> bool:
    """Return whether a number above 1 has no other divisor; 1,448 divisions at most."""
    if number % 2 == 0:
        return number == 2
    return all(number % divisor for divisor in range(3, isqrt(number) + 1, 2))
