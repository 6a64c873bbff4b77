"""What may be said of how a new flow gets its backend: policies, affinity, slow start."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from natlb.control.config.kinds import (
    Duration,
    Exponent,
    Factor,
    Function,
    HashBaseValue,
    HashKeyValue,
    Program,
    Size,
    SlowSeconds,
    Within,
    affinity_or_none,
    as_policy,
    policy_or_none,
    slow_start_or_none,
)
from natlb.control.config.values import Affinity, PolicyName

AFFINITY = Affinity()


class Shape(BaseModel):
    """A mapping with these keys and no others, each of exactly its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PolicyShape(Shape):
    """`policy` as a mapping: the parameters of all policies.

    Which of them a policy has, and their defaults, is in `policies.py`.
    """

    name: PolicyName = Field(description=", ".join(f"`{name}`" for name in get_args(PolicyName)))
    key: HashKeyValue = Field(
        default=None,
        description="what policies by hash look at, the client's `address` or its `address-port`"
        " (`destination-hash`: the one that was called); `source-hash` and `destination-hash`:"
        " `address`, others: `address-port`",
    )
    size: Size = Field(
        default=None,
        description="`maglev`: entries of its table, a prime, 65537; `anchor`: its buckets, dealt"
        " out by weight, 1024; not fewer than backends, at most 8388593",
    )
    slots: Size = Field(
        default=None,
        description="`rendezvous`: entries of its table, a power of two, at most 4194304, 65536",
    )
    base: HashBaseValue = Field(
        default=None,
        description="`bounded-load`: the policy that it bounds, `maglev` (which it is by default)"
        " or `rendezvous`; it takes that one's `size` or `slots` as well",
    )
    factor: Factor = Field(
        default=None,
        description="`bounded-load`: how many times its share of the flows a backend may have,"
        " more than 1, at most 10; 1.25",
    )
    file: Program = Field(
        default=None, description="`python`: the file with a policy of your own; required"
    )
    function: Function = Field(
        default=None, description="`python`: the function in that file, `pick`"
    )


class AffinityShape(Shape):
    """`affinity` of a service."""

    prefix: Annotated[int, Within(0, 32)] = Field(
        default=AFFINITY.prefix,
        description="IPv4 clients whose addresses agree in so many bits go together, 0 to 32",
    )
    prefix6: Annotated[int, Within(0, 128)] = Field(
        default=AFFINITY.prefix6, description="and IPv6 clients, 0 to 128"
    )
    timeout: Duration = Field(
        default=AFFINITY.timeout,
        description="until so long after the last of their flows was opened, at most 24 days",
    )


class SlowStartShape(Shape):
    """`slow_start` of a service as a mapping."""

    seconds: SlowSeconds = Field(
        description="after how long a backend that came has its whole weight, at most 24 days"
    )
    exponent: Exponent = Field(
        default=1.0,
        description="its share is the elapsed part of that time to this power, 0.1 to 10",
    )


Policy = Annotated[
    PolicyShape,
    BeforeValidator(as_policy, json_schema_input_type=PolicyName | PolicyShape),
]
_NONE = Field(json_schema_extra={"default": "none"})  # as it is written, not as it is kept
Shadow = Annotated[
    PolicyShape | None,
    BeforeValidator(
        policy_or_none, json_schema_input_type=PolicyName | Literal["none"] | PolicyShape
    ),
    _NONE,
]
AffinityValue = Annotated[
    AffinityShape | None,
    BeforeValidator(affinity_or_none, json_schema_input_type=Literal["none"] | AffinityShape),
    _NONE,
]
SlowStartValue = Annotated[
    SlowStartShape | None,
    BeforeValidator(slow_start_or_none, json_schema_input_type=float | str | SlowStartShape),
    _NONE,
]
