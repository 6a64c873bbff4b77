"""The kinds of values in a configuration: what pydantic is to read each as, and to say of it.

The words are those of `scalars.py`; here they become types, each with what JSON schema knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from natlb.control.config import scalars
from natlb.control.config.api_place import parse_api_listen, parse_token_file
from natlb.control.config.problems import described
from natlb.control.config.values import Address, HashBase, HashKey, Listen, Network, Side

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

LARGEST_TABLE = (1 << 24) - 1
"""The index of the flow table keeps row numbers in 24 bits, and one value for "none"."""

MOST_WEIGHT = 65_535
LEAST_SIZE, MOST_SIZE = 2, 8_388_593
"""Of a policy's table; the largest prime below 1 << 23, which is 32 MiB of slots."""


@dataclass(frozen=True, slots=True)
class Within:
    """Annotates a whole number with its range, and says both ends when it is left."""

    low: int
    high: int

    def __get_pydantic_core_schema__(
        self, source: type[int], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check the range after the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Say the range in JSON schema's words."""
        return {**handler(schema), "minimum": self.low, "maximum": self.high}

    def _check(self, value: int) -> int:
        if not self.low <= value <= self.high:
            shown = described(value)
            raise ValueError(f"{shown} is not in {self.low}..{self.high}")
        return value


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A backend's address, and how it was written."""

    address: Address
    port: int | None
    written: str


def _endpoint(value: object) -> Endpoint:
    """Return what `ADDRESS[:PORT]` means."""
    if not isinstance(value, str):
        hint = "; an IPv6 address in brackets needs quotes" if isinstance(value, list) else ""
        raise ValueError(f"must be ADDRESS or ADDRESS:PORT, not {described(value)}{hint}")  # noqa: TRY004 - bad input is one kind of error
    return Endpoint(*scalars.parse_endpoint(value), value)


def _or_none(value: object) -> object:
    """Return `none` as what it is, and a number as it is."""
    if value == "none":
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"must be a whole number or none, not {described(value)}")  # noqa: TRY004 - bad input is one kind of error
    return value


def _given(value: object) -> object:
    """Return a value that is there."""
    if value is None:
        raise ValueError("has no value")
    return value


def as_policy(value: object) -> object:
    """Return a policy's name as the policy with no parameter given."""
    if isinstance(value, str):
        return {"name": value}
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"must be a name or a mapping with a name, not {described(value)}")
    return value


def policy_or_none(value: object) -> object:
    """Return `none` as what it is, and another name as a policy's."""
    return None if value == "none" else _given(as_policy(value))


def affinity_or_none(value: object) -> object:
    """Return `none` as what it is, and a mapping as it is."""
    if value != "none" and not isinstance(value, dict):
        raise ValueError(f"must be a mapping like {{prefix: 24}} or none, not {described(value)}")
    return None if value == "none" else value


def slow_start_or_none(value: object) -> object:
    """Return `none` as what it is, and a duration as the slow start of that time."""
    if value == "none":
        return None
    return value if isinstance(value, dict) else {"seconds": _given(value)}


def _source_list(value: object) -> object:
    """Return one source as a list of one, and `none` as a list of none."""
    return [] if value == "none" else _as_list(value)


def _port_range(value: object) -> str:
    """Return a range of ports as it was written, if it is one."""
    scalars.parse_ports(value)
    return str(value)


def _as_list(value: object) -> object:
    """Return one value as a list of one."""
    return value if isinstance(value, list) else [value]


def _not_empty(value: list[Listen], info: ValidationInfo) -> list[Listen]:
    """Refuse an empty list, unless what is looked at is the rest of a service that is wrong."""
    if not value and info.context != REST:
        raise PydanticCustomError("too_short", "is empty")
    return value


REST = "rest"
"""The context in which a service without anything to listen on is looked at all the same."""
_SOME = Annotated[list[str], Field(min_length=1)]
_SIDE_SCHEMA = list[str] | dict[Literal["netns"], str]
Duration = Annotated[
    float, PlainValidator(scalars.parse_duration, json_schema_input_type=float | str)
]
Name = Annotated[str, PlainValidator(scalars.parse_name, json_schema_input_type=str)]
GivenName = Annotated[str | None, PlainValidator(scalars.parse_name, json_schema_input_type=str)]
SideValue = Annotated[
    Side | None, PlainValidator(scalars.parse_side, json_schema_input_type=_SIDE_SCHEMA)
]
ListenValue = Annotated[Listen, PlainValidator(scalars.parse_listen, json_schema_input_type=str)]
Listens = Annotated[
    list[ListenValue],
    BeforeValidator(_as_list, json_schema_input_type=str | _SOME),
    AfterValidator(_not_empty),
]
EndpointValue = Annotated[Endpoint, PlainValidator(_endpoint, json_schema_input_type=str)]
PrefixValue = Annotated[Network, PlainValidator(scalars.parse_prefix, json_schema_input_type=str)]
Prefixes = Annotated[
    list[PrefixValue], BeforeValidator(_as_list, json_schema_input_type=str | list[str])
]
SourceValue = Annotated[
    tuple[Address, ...], PlainValidator(scalars.parse_source, json_schema_input_type=str)
]
Sources = Annotated[
    list[SourceValue], BeforeValidator(_source_list, json_schema_input_type=str | list[str])
]
PortRange = Annotated[str, PlainValidator(_port_range, json_schema_input_type=str)]
MssClamp = Annotated[
    bool | int, PlainValidator(scalars.parse_mss_clamp, json_schema_input_type=bool | int)
]
Weight = Annotated[int, Within(0, MOST_WEIGHT)]
Seed = Annotated[int | None, PlainValidator(scalars.parse_seed, json_schema_input_type=int | str)]
Share = Annotated[
    float,
    PlainValidator(scalars.parse_share, json_schema_input_type=Annotated[float, Field(ge=0, le=1)]),
]
SlowSeconds = Annotated[
    float, PlainValidator(scalars.parse_slow_seconds, json_schema_input_type=float | str)
]
_EXPONENTS = Annotated[float, Field(ge=scalars.LEAST_EXPONENT, le=scalars.MOST_EXPONENT)]
Exponent = Annotated[
    float, PlainValidator(scalars.parse_exponent, json_schema_input_type=_EXPONENTS)
]
_SIZES = Annotated[int, Within(LEAST_SIZE, MOST_SIZE)]
Size = Annotated[_SIZES | None, BeforeValidator(_given, json_schema_input_type=_SIZES)]
_FACTORS = Annotated[float, Field(gt=1, le=scalars.MOST_FACTOR)]
Factor = Annotated[
    float | None, PlainValidator(scalars.parse_factor, json_schema_input_type=_FACTORS)
]
HashKeyValue = Annotated[HashKey | None, BeforeValidator(_given, json_schema_input_type=HashKey)]
HashBaseValue = Annotated[HashBase | None, BeforeValidator(_given, json_schema_input_type=HashBase)]
Program = Annotated[str | None, PlainValidator(scalars.parse_program, json_schema_input_type=str)]
Function = Annotated[str | None, PlainValidator(scalars.parse_function, json_schema_input_type=str)]
PathValue = Annotated[str, PlainValidator(scalars.parse_path, json_schema_input_type=str)]
ApiListen = Annotated[str, PlainValidator(parse_api_listen, json_schema_input_type=str)]
TokenFile = Annotated[
    str | None, PlainValidator(parse_token_file, json_schema_input_type=str | None)
]
Count = Annotated[int, Within(1, LARGEST_TABLE)]
Limit = Annotated[
    Count | None,
    BeforeValidator(_or_none, json_schema_input_type=Count | Literal["none"]),
    Field(json_schema_extra={"default": "none"}),  # as it is written, not as it is kept
]
