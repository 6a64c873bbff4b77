"""What may be said of a health check: the keys of all types.

Which of them a type has, what it needs, and how a backend's are laid over its service's is in
`check_types.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator

from natlb.control.config import check_words, scalars
from natlb.control.config.choosing import Shape
from natlb.control.config.kinds import Duration, Within
from natlb.control.config.problems import described
from natlb.control.config.values import Address, CheckConfig, CheckType, DnsRecord, HttpMethod

DEFAULTS = CheckConfig()

Count = Annotated[int, Within(1, check_words.MOST_COUNT)]
Interval = Annotated[
    float, PlainValidator(check_words.parse_interval, json_schema_input_type=float | str)
]
_JITTERS = Annotated[float, Field(ge=0, le=check_words.MOST_JITTER)]
Jitter = Annotated[float, PlainValidator(check_words.parse_jitter, json_schema_input_type=_JITTERS)]
AddressValue = Annotated[
    Address | None, PlainValidator(check_words.parse_check_address, json_schema_input_type=str)
]
_PORTS = Annotated[int, Within(1, 65_535)]
Codes = Annotated[
    tuple[tuple[int, int], ...],
    PlainValidator(check_words.parse_codes, json_schema_input_type=int | str | list[int | str]),
    PlainSerializer(check_words.codes_texts, return_type=list[str]),
]
RequestPath = Annotated[
    str, PlainValidator(check_words.parse_request_path, json_schema_input_type=str)
]
Host = Annotated[str | None, PlainValidator(check_words.parse_host, json_schema_input_type=str)]
File = Annotated[str | None, PlainValidator(scalars.parse_path, json_schema_input_type=str)]
Sni = Annotated[str | None, PlainValidator(check_words.parse_sni, json_schema_input_type=str)]
Pattern = Annotated[
    str | None, PlainValidator(check_words.parse_pattern, json_schema_input_type=str)
]
ServiceName = Annotated[
    str, PlainValidator(check_words.parse_service_name, json_schema_input_type=str)
]
Payload = Annotated[
    bytes | None, PlainValidator(check_words.parse_payload, json_schema_input_type=str)
]
DnsName = Annotated[
    str | None, PlainValidator(check_words.parse_dns_name, json_schema_input_type=str)
]
Command = Annotated[
    tuple[str, ...] | None,
    PlainValidator(check_words.parse_command, json_schema_input_type=list[str]),
]


def _check_or_none(value: object) -> object:
    """Return `none` as what it is, and a mapping as it is."""
    if value != "none" and not isinstance(value, dict):
        like = "{type: http, path: /health}"
        raise ValueError(f"must be a mapping like {like} or none, not {described(value)}")
    return None if value == "none" else value


def _port(value: object) -> object:
    """Return a port that is there."""
    if value is None:
        raise ValueError("has no value")
    return value


class CheckShape(Shape):
    """`check` of a service or a backend, as a mapping."""

    type: CheckType = Field(
        default=DEFAULTS.type, description="`tcp`, `http`, `https`, `grpc`, `udp`, `dns` or `exec`"
    )
    interval: Interval = Field(
        default=DEFAULTS.interval,
        description="from the beginning of a check to that of the next, 100 ms to a day",
    )
    timeout: Duration = Field(
        default=DEFAULTS.timeout,
        description="how long a check may take, not longer than `interval`; that, where it is"
        " shorter than 1 s",
    )
    rise: Count = Field(
        default=DEFAULTS.rise,
        description="so many good results in a row make a backend up, 1 to 100; at start one does",
    )
    fall: Count = Field(
        default=DEFAULTS.fall,
        description="so many bad ones in a row make it down, 1 to 100; at start one does",
    )
    jitter: Jitter = Field(
        default=DEFAULTS.jitter,
        description="the share of `interval` by which waits are made shorter at random, so that"
        " checks do not meet, 0 to 0.5",
    )
    address: AddressValue = Field(
        default=None, description="where to ask; by default the backend's address"
    )
    port: Annotated[_PORTS | None, BeforeValidator(_port, json_schema_input_type=_PORTS)] = Field(
        default=None,
        description="where to ask; by default the backend's port, else the first that its service"
        " listens on",
    )
    source: AddressValue = Field(
        default=None,
        description="the address to ask from, one of the host's; by default what its routes say",
    )
    path: RequestPath = Field(
        default=DEFAULTS.path, description="`http`, `https`: what is asked for, `/` and so on"
    )
    host: Host = Field(
        default=None,
        description="`http`, `https`: the `Host` of the request; by default address and port",
    )
    method: HttpMethod = Field(
        default=DEFAULTS.method, description="`http`, `https`: `GET`, `HEAD` or `OPTIONS`"
    )
    status: Codes = Field(
        default=DEFAULTS.status,
        description="`http`, `https`: the codes of a good answer: `200`, `200-399`, or a list",
    )
    match: Pattern = Field(
        default=None,
        description="`http`, `https`: a regular expression that must be found in the first 64 KiB"
        " of the body",
    )
    verify: bool = Field(
        default=DEFAULTS.verify,
        description="`https`: whether the certificate must be right and name the backend",
    )
    ca: File = Field(
        default=None,
        description="`https`: a file of certificates (PEM) to trust; by default those of the host",
    )
    sni: Sni = Field(
        default=None,
        description="`https`: the name to ask for, and that the certificate must have; by default"
        " that of `host`, else the address",
    )
    service: ServiceName = Field(
        default=DEFAULTS.service,
        description="`grpc`: the service that grpc.health.v1 is asked about; the whole server"
        " where it is empty",
    )
    send: Payload = Field(
        default=None,
        description="`udp`: what is sent, a text or `hex:` and digits; required there",
    )
    expect: Pattern = Field(
        default=None,
        description="`udp`: a regular expression that must be found in the reply; `dns`: a value"
        " that an answer must have; by default any does",
    )
    name: DnsName = Field(default=None, description="`dns`: the name to ask for; required there")
    record: DnsRecord = Field(
        default=DEFAULTS.record,
        description="`dns`: `A`, `AAAA`, `CNAME`, `MX`, `NS`, `PTR`, `SOA`, `SRV` or `TXT`",
    )
    command: Command = Field(
        default=None,
        description="`exec`: a list, the program's absolute path and its arguments; no shell reads"
        " it; required there",
    )


Check = Annotated[
    CheckShape | None,
    BeforeValidator(_check_or_none, json_schema_input_type=Literal["none"] | CheckShape),
]
