"""The small languages inside a configuration's values: durations, listens, endpoints, names.

Each function returns what a value means, or raises `ValueError` with words that say what was
expected. Nothing is resolved: natlb reads addresses, never names from DNS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from keyword import iskeyword
from typing import TYPE_CHECKING

from natlb.control.config.problems import described, quoted
from natlb.control.config.values import Address, Listen, NetnsSide, Network, Side, endpoint

if TYPE_CHECKING:
    from natlb.model import ProtocolName

MAX_DURATION = 24 * 86_400.0
"""Timeouts are kept as milliseconds in 32 bits, and compared as differences: half of that range."""
MIN_DURATION = 0.001
"""Linux: sockaddr_un.sun_path holds 108 octets, the last of them zero."""
MAX_PATH = 4095
"""Linux: PATH_MAX without the zero."""
MAX_SOURCES = 1024
"""Each takes a neighbour entry or a route on the host, and 64512 flows to each backend's port."""
MOST_SEED = (1 << 64) - 1
LEAST_EXPONENT, MOST_EXPONENT = 0.1, 10.0
"""A backend that comes has nearly all of its weight at once below, and nearly none until above."""
MOST_FACTOR = 10.0
"""Ten times its share is no bound."""
LEAST_MSS, MOST_MSS = 88, 65495
"""Linux: TCP_MIN_MSS; and the largest IPv4 packet less 40 octets of headers."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|s|m|h|d)")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LISTEN = re.compile(r"(?:([A-Za-z0-9+.-]*)://)?(.*)", re.DOTALL)
_ENDPOINT = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(.*))?", re.DOTALL)
_SEED = re.compile(r"(?:0x)?([0-9A-Fa-f]{1,16})")
_PORTS = re.compile(r"([0-9]+)-([0-9]+)")
_INTERFACE = re.compile(r"[!-.0-9;-~]{1,15}")  # printable ASCII without ':' and '/'
_NETNS = re.compile(r"[!-.0-~]{1,255}")

_NOWHERE: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ip_network(prefix), kind)
    for prefix, kind in (
        ("0.0.0.0/32", "the unspecified address"),
        ("0.0.0.0/8", "an address of no network (0.0.0.0/8)"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("224.0.0.0/4", "a multicast address"),
        ("255.255.255.255/32", "the broadcast address"),
        ("240.0.0.0/4", "a reserved address (240.0.0.0/4)"),
        ("::/128", "the unspecified address"),
        ("::1/128", "a loopback address"),
        ("::ffff:0:0/96", "an IPv4-mapped address"),
        ("fe80::/10", "a link-local address"),
        ("ff00::/8", "a multicast address"),
    )
)
"""Addresses that the core drops as martians (RFC 6890), and those that no router forwards."""
_MAPPED = IPv6Network("::ffff:0:0/96")


def parse_duration(value: object) -> float:
    """Return seconds, of a number of them or of a text with a unit."""
    seconds = _seconds(value)
    if not seconds > 0:  # and so is what is not a number, which compares to nothing
        raise ValueError(f"must be longer than 0, not {described(value)}")
    if seconds < MIN_DURATION:
        raise ValueError(f"{described(value)} is less than a millisecond")
    if seconds > MAX_DURATION:
        raise ValueError(
            f"{described(value)} is more than 24 days, which is all that"
            " 32 bits of milliseconds can hold"
        )
    return float(seconds)


def _seconds(value: object) -> int | float:
    """Return a number of seconds, whatever it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(
            "must be seconds (a number), or a text with the unit ms, s, m, h or d"
            f" like '30s', not {described(value)}"
        )
    return float(found[1]) * _UNITS[found[2]]


def parse_slow_seconds(value: object) -> float:
    """Return how long a slow start takes, which is not 0."""
    if value == 0 and not isinstance(value, bool):
        raise ValueError("must be longer than 0; `none` is no slow start")
    return parse_duration(value)


def parse_exponent(value: object) -> float:
    """Return the power to which the elapsed part of a slow start is raised."""
    number = _number(value)
    if not LEAST_EXPONENT <= number <= MOST_EXPONENT:
        raise ValueError(f"{described(value)} is not in {LEAST_EXPONENT}..{MOST_EXPONENT:g}")
    return float(number)


def parse_share(value: object) -> float:
    """Return a part of a whole."""
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{described(value)} is not in 0..1")
    return float(number)


def parse_factor(value: object) -> float:
    """Return how far above its share of the flows a backend may get: at 1 none could be full."""
    number = _number(value)
    if not 1 < number <= MOST_FACTOR:
        raise ValueError(f"must be more than 1 and at most {MOST_FACTOR:g}, not {described(value)}")
    if round(1000 * number) <= 1000:
        raise ValueError(f"{described(value)} is 1 in thousandths, and must be more")
    return float(number)


def _number(value: object) -> int | float:
    """Return a number as it is."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"must be a number, not {described(value)}")  # noqa: TRY004 - one kind of error: bad input
    return value


def parse_seed(value: object) -> int:
    """Return 64 bits, of a whole number or of hexadecimal digits in a text.

    A text is as the state directory's file has it, so that it can be copied from one node's file
    into another's configuration.
    """
    found = _SEED.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None:
        return int(found[1], 16)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - one kind of error: bad input
            "must be a whole number, or at most 16 hexadecimal digits in quotes,"
            f" not {described(value)}"
        )
    if not 0 <= value <= MOST_SEED:
        raise ValueError(f"{described(value)} is not in 0..{MOST_SEED}")
    return value


def parse_listen(value: object) -> Listen:
    """Return what `tcp://ADDRESS:PORT` or `udp://ADDRESS:FIRST-LAST` means."""
    if not isinstance(value, str):
        raise ValueError(f"must be like tcp://203.0.113.10:80, not {described(value)}")  # noqa: TRY004 - one kind of error: bad input
    found = _LISTEN.fullmatch(value)
    assert found is not None
    first, ports = _split_range(found[2])
    address, port = parse_endpoint(first)
    if port is None:
        raise ValueError(
            f"{quoted(value)} has no port; write it like {_example(address, found[1])}"
        )
    if found[1] not in {"tcp", "udp"}:
        hint = f"{Listen('tcp', address, port, ports)} or {Listen('udp', address, port, ports)}"
        raise ValueError(f"{quoted(value)} has no protocol that natlb carries; write {hint}")
    protocol: ProtocolName = "tcp" if found[1] == "tcp" else "udp"
    return Listen(protocol, address, port, ports)


def _split_range(text: str) -> tuple[str, int]:
    """Return `ADDRESS:FIRST` of `ADDRESS:FIRST-LAST` and how many ports that is, 1 if no range."""
    address, _, ports = text.rpartition(":")
    if not address or "-" not in ports:
        return text, 1
    first, last = parse_ports(ports)
    if ":" in address and not address.startswith("["):
        raise ValueError(f"write [{address}]:{ports}: an IPv6 address before a port has brackets")
    return f"{address}:{first}", last - first + 1


def _example(address: Address, protocol: str | None) -> str:
    """Return how a listen on an address could look."""
    return f"{protocol if protocol == 'udp' else 'tcp'}://{endpoint(address, 80)}"


def parse_endpoint(text: str) -> tuple[Address, int | None]:
    """Return address and port of `ADDRESS[:PORT]`; IPv6 with a port has brackets."""
    if text.count(":") > 1 and not text.startswith("["):
        return parse_address(text), None
    found = _ENDPOINT.fullmatch(text)
    if found is None:
        raise ValueError(f"{quoted(text)} is not ADDRESS or ADDRESS:PORT")
    address = parse_address(found[2] if found[1] is None else found[1])
    if (found[1] is not None) != (address.version == 6):
        raise ValueError(f"{quoted(text)}: brackets are for IPv6 addresses")
    return address, None if found[3] is None else _parse_port(found[3])


def parse_ports(value: object) -> tuple[int, int]:
    """Return the first and the last port of `FIRST-LAST`."""
    found = _PORTS.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        port = re.fullmatch(r"'?([0-9]{1,5})'?", described(value))
        hint = f"; write {port[1]}-{port[1]} for that one alone" if port else ""
        raise ValueError(f"must be a range of ports like 1024-65535, not {described(value)}{hint}")
    first, last = _parse_port(found[1]), _parse_port(found[2])
    if first > last:
        raise ValueError(f"{quoted(found[0])} ends before it begins; write {last}-{first}")
    return first, last


def _parse_port(text: str) -> int:
    """Return a port number."""
    if _PORTS.fullmatch(text):
        raise ValueError(
            f"{quoted(text)} is a range, which only `listen` takes; a backend without a port"
            " keeps the one that was called"
        )
    if not re.fullmatch(r"[0-9]+", text):
        raise ValueError(f"port {quoted(text)} is not a number")
    if len(text) > 5 or not 1 <= int(text) <= 65535:
        raise ValueError(f"port {text:.20} is not in 1..65535")
    return int(text)


def parse_address(text: str) -> Address:
    """Return an address that packets can be sent to from elsewhere."""
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not an IP address") from None
    if "%" in text:
        raise ValueError(f"{quoted(text)} has a zone; natlb takes none")
    for network, kind in _NOWHERE:
        if address in network:
            raise ValueError(f"{address} is {kind}")
    return address


def parse_source(value: object) -> tuple[Address, ...]:
    """Return the addresses that `ADDRESS`, `FIRST-LAST` or a prefix means, in order."""
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - one kind of error: bad input
            "must be an address, a range like 10.77.0.100-10.77.0.110 or a prefix,"
            f" not {described(value)}"
        )
    if "/" in value:
        network = _parse_network(value)
        first, last = network[0], network[-1]
    else:
        begin, dash, end = value.partition("-")
        if dash and end.isdecimal():
            raise ValueError(f"{quoted(value)}: both ends must be whole addresses")
        first = parse_address(begin)
        last = parse_address(end) if dash else first
    count = _count(value, first, last)
    return tuple(parse_address(str(first + step)) for step in range(count))


def _count(text: str, first: Address, last: Address) -> int:
    """Return how many addresses a range has."""
    if first.version != last.version:
        raise ValueError(f"{quoted(text)}: both ends must be of one IP version")
    count = int(last) - int(first) + 1
    if count < 1:
        raise ValueError(f"{quoted(text)} ends before it begins; write {last}-{first}")
    if count > MAX_SOURCES:
        raise ValueError(f"{quoted(text)} is {count} addresses, more than {MAX_SOURCES}")
    return count


def parse_prefix(value: object) -> Network:
    """Return the clients that a prefix or a single address means."""
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - one kind of error: bad input
            f"must be a prefix like 198.51.100.0/24 or an address, not {described(value)}"
        )
    network = _parse_network(value)
    if network.version == 6 and network.subnet_of(_MAPPED):
        raise ValueError(f"{network} is of IPv4-mapped addresses; write it as IPv4")
    return network


def _parse_network(text: str) -> Network:
    """Return a prefix, which has no bit set behind its length."""
    try:
        loose = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{quoted(text)} is no prefix and no IP address") from None
    address = text.partition("/")[0]
    if "%" in text:
        raise ValueError(f"{quoted(text)} has a zone; natlb takes none")
    if ip_address(address) != loose.network_address:
        raise ValueError(
            f"{quoted(text)} has bits set behind its length; write {loose}, or {address} for"
            " that one address"
        )
    return loose


def parse_mss_clamp(value: object) -> bool | int:
    """Return whether the MSS is bounded, or by which number."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, int):
        raise ValueError(  # noqa: TRY004 - one kind of error: bad input
            f"must be false, true or a number of octets, not {described(value)}"
        )
    if not LEAST_MSS <= value <= MOST_MSS:
        raise ValueError(f"{described(value)} is not in {LEAST_MSS}..{MOST_MSS}")
    return value


def parse_name(value: object) -> str:
    """Return the name of a service or backend."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            f"{described(value)} is no name: 1 to 64 letters, digits, '.', '_' and '-'"
        )
    return value


def parse_side(value: object) -> Side:
    """Return the interfaces of a side, or the namespace that is the side."""
    if isinstance(value, Mapping) and set(value) == {"netns"}:
        return NetnsSide(_parse_netns(value["netns"]))
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(
            f"must be a list of interfaces like [eth0], or {{netns: NAME}}, not {_side_text(value)}"
        )
    names = tuple(_parse_interface(item) for item in value)
    if len(set(names)) < len(names):
        raise ValueError("names an interface twice")
    return names


def _side_text(value: object) -> str:
    """Return a value that is no side, for a message."""
    return "an empty list" if value in ([], ()) else described(value)


def _parse_interface(value: object) -> str:
    """Return an interface's name (Linux: dev_valid_name in net/core/dev.c)."""
    if not isinstance(value, str) or not _INTERFACE.fullmatch(value) or value in {".", ".."}:
        raise ValueError(f"{described(value)} cannot be an interface's name")
    return value


def _parse_netns(value: object) -> str:
    """Return a namespace's name: a file's name in /run/netns."""
    if not isinstance(value, str) or not _NETNS.fullmatch(value) or value in {".", ".."}:
        raise ValueError(f"{described(value)} cannot be a network namespace's name")
    return value


def parse_program(value: object) -> str:
    """Return the path of a policy's source, absolute or not; whether it exists is not asked."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be the path of a file, not {described(value)}")
    if not value.isprintable() or len(value.encode()) > MAX_PATH:
        raise ValueError(f"{quoted(value)} cannot be a path: it is too long, or does not print")
    return value


def parse_function(value: object) -> str:
    """Return the name of a function in Python."""
    if not isinstance(value, str) or not value.isidentifier() or iskeyword(value):
        raise ValueError(f"{described(value)} cannot be a function's name")
    return value


def parse_path(value: object) -> str:
    """Return the absolute path of a file or directory; whether it exists is not asked."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"must be an absolute path, not {described(value)}")
    if not value.isprintable() or len(value.encode()) > MAX_PATH:
        raise ValueError(f"{quoted(value)} cannot be a path: it is too long, or does not print")
    return value
