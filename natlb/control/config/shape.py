"""What may stand in a configuration: every key of this version, its default and its values.

These models check one value at a time; what holds between values is in `checks.py`, and the keys
of later versions in `later.py`. Names, defaults and descriptions are also what the JSON schema
and the table in docs/configuration.md are made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    ValidationInfo,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from natlb.control.config import scalars
from natlb.control.config.problems import described
from natlb.control.config.values import (
    API_LISTEN,
    MAX_FLOWS,
    STATE,
    Address,
    DriverName,
    Listen,
    LogFormat,
    LogLevel,
    NoBackend,
    Side,
    Timeouts,
)

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

PolicyName = Literal["round-robin", "source-hash"]
DEFAULTS = Timeouts()

LARGEST_TABLE = (1 << 24) - 1
"""The index of the flow table keeps row numbers in 24 bits, and one value for "none"."""


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


def _as_list(value: object) -> object:
    """Return one value as a list of one."""
    return value if isinstance(value, list) else [value]


def _as_policy(value: object) -> object:
    """Return a policy's name as the policy without parameters."""
    return {"name": value} if isinstance(value, str) else value


def _as_backend(value: object) -> object:
    """Return an address as the backend that has nothing else."""
    return value if isinstance(value, dict) else {"address": value}


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
EndpointValue = Annotated[Endpoint, PlainValidator(_endpoint, json_schema_input_type=str)]
PathValue = Annotated[str, PlainValidator(scalars.parse_path, json_schema_input_type=str)]
ApiListen = Annotated[str, PlainValidator(scalars.parse_api_listen, json_schema_input_type=str)]


class _Shape(BaseModel):
    """A mapping with these keys and no others, each of exactly its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DatapathShape(_Shape):
    """`datapath`: a change needs a restart."""

    driver: DriverName = Field(
        default="auto", description="where packets come in: `auto` (the best there is) or `tun`"
    )
    public: SideValue = Field(
        default=None,
        description="the clients' side: a list of interfaces, or `{netns: NAME}` when that side is"
        " another network namespace; by default the interface whose subnet holds the VIP, else"
        " that of the default route, else all that are not private",
    )
    private: SideValue = Field(
        default=None,
        description="the backends' side, written as `public`; by default the interfaces that"
        " route to the backends",
    )
    max_flows: Annotated[int, Within(1, LARGEST_TABLE)] = Field(
        default=MAX_FLOWS, description="flows that are tracked at once, 1 to 16777215"
    )


class TimeoutsShape(_Shape):
    """`timeouts`: how long a flow without packets lives; each at most 24 days."""

    tcp_established: Duration = Field(
        default=DEFAULTS.tcp_established, description="TCP, established or half-closed"
    )
    tcp_opening: Duration = Field(
        default=DEFAULTS.tcp_opening, description="TCP, not yet established"
    )
    tcp_transitory: Duration = Field(
        default=DEFAULTS.tcp_transitory, description="TCP, after a FIN each way or a RST"
    )
    udp: Duration = Field(default=DEFAULTS.udp, description="UDP that was answered")
    udp_unreplied: Duration = Field(
        default=DEFAULTS.udp_unreplied, description="UDP that was not answered yet"
    )


class PolicyShape(_Shape):
    """`policy` as a mapping; the policies of this version have no parameters."""

    name: PolicyName = Field(description="`round-robin` or `source-hash`")


class BackendShape(_Shape):
    """A backend as a mapping."""

    name: GivenName = Field(
        default=None,
        description="what commands call it, unique in the service; by default the address as"
        " written",
    )
    address: EndpointValue = Field(
        description="`ADDRESS` or `ADDRESS:PORT`, IPv6 with a port in brackets; without a port"
        " each packet keeps the one it was sent to"
    )
    check: Literal["none"] = Field(default="none", description="`none`: no health check")


Policy = Annotated[
    PolicyShape,
    BeforeValidator(_as_policy, json_schema_input_type=PolicyName | PolicyShape),
]
Backend = Annotated[
    BackendShape, BeforeValidator(_as_backend, json_schema_input_type=str | BackendShape)
]


class ServiceShape(_Shape):
    """A service."""

    listen: Annotated[
        list[ListenValue],
        BeforeValidator(_as_list, json_schema_input_type=str | _SOME),
        AfterValidator(_not_empty),
        Field(
            description="what clients call: `tcp://ADDRESS:PORT` or `udp://ADDRESS:PORT`, IPv6 in"
            " brackets, or a list of them",
        ),
    ]
    mode: Literal["packet"] = Field(default="packet", description="`packet`")
    policy: Policy = Field(
        default=PolicyShape(name="round-robin"),
        description="how a new flow gets its backend: `round-robin` or `source-hash`, or"
        " `{name: POLICY}`",
    )
    backends: list[Backend] = Field(
        description="the pool: a list of `ADDRESS`, `ADDRESS:PORT` or mappings; all of the IP"
        " version of `listen`"
    )
    check: Literal["none"] = Field(default="none", description="`none`: no health checks")
    no_backend: NoBackend = Field(
        default="reject",
        description="what a client hears when no backend takes new flows: `reject` (a reset, or"
        " ICMP unreachable) or `drop` (silence)",
    )
    timeouts: TimeoutsShape = Field(
        default=TimeoutsShape(), description="any of `timeouts`, for this service alone"
    )


class ApiShape(_Shape):
    """`api`: a change needs a restart."""

    listen: ApiListen = Field(
        default=API_LISTEN,
        description="the socket that commands use, `unix:/PATH`; NETNS in the default is the inode"
        " number of the network namespace",
    )


class LogShape(_Shape):
    """`log`: to standard error."""

    level: LogLevel = Field(default="info", description="`debug`, `info`, `warning` or `error`")
    format: LogFormat = Field(default="text", description="`text` or `json`")


class FileShape(_Shape):
    """A whole configuration."""

    services: dict[Name, ServiceShape] = Field(
        min_length=1, description="services by name: 1 to 64 letters, digits, `.`, `_` and `-`"
    )
    datapath: DatapathShape = Field(default=DatapathShape(), description="where packets come in")
    timeouts: TimeoutsShape = Field(
        default=TimeoutsShape(), description="how long a flow without packets lives"
    )
    api: ApiShape = Field(default=ApiShape(), description="where commands reach natlb")
    state: PathValue = Field(
        default=STATE,
        description="the directory for what outlives a boot; a change needs a restart",
    )
    log: LogShape = Field(default=LogShape(), description="what is logged")


PARTS: dict[tuple[str, ...], type[_Shape]] = {
    (): FileShape,
    ("datapath",): DatapathShape,
    ("timeouts",): TimeoutsShape,
    ("services", "*"): ServiceShape,
    ("services", "*", "policy"): PolicyShape,
    ("services", "*", "backends", "*"): BackendShape,
    ("services", "*", "timeouts"): TimeoutsShape,
    ("api",): ApiShape,
    ("log",): LogShape,
}
"""The model of each mapping by its path, `*` for any name or place in a list."""


def part_at(path: tuple[str | int, ...]) -> type[_Shape] | None:
    """Return the model of the mapping at a path."""
    steps = tuple("*" if _is_free(path, at) else str(path[at]) for at in range(len(path)))
    return PARTS.get(steps)


def _is_free(path: tuple[str | int, ...], at: int) -> bool:
    """Return whether a step of a path is a name the user chose, or a place in a list."""
    return isinstance(path[at], int) or (at == 1 and path[0] == "services")
