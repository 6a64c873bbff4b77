"""Where the API may be called: `unix:/PATH`, or `tcp://` on this host alone, with tokens.

By TCP whoever reaches the address may try; so only loopback, which no packet from outside reaches.
"""

from __future__ import annotations

import ipaddress

from natlb.control.config.problems import described
from natlb.control.config.scalars import parse_path

MAX_SOCKET_PATH = 99
"""Of 107 octets that a socket's address has room for, 8 are for `-operate`, which stands beside."""
TCP = "tcp://"
LAST_PORT = 65535
LIKE = "must be like unix:/run/natlb.sock or tcp://127.0.0.1:9000"


def parse_api_listen(value: object) -> str:
    """Return `unix:/PATH` or `tcp://ADDRESS:PORT`."""
    if isinstance(value, str) and value.startswith(TCP):
        return _parse_tcp(value)
    if not isinstance(value, str) or not value.startswith("unix:/"):
        raise ValueError(f"{LIKE}, not {described(value)}")
    path = parse_path(value.removeprefix("unix:"))
    if len(path.encode()) > MAX_SOCKET_PATH:
        raise ValueError(f"a socket's path has at most {MAX_SOCKET_PATH} octets here")
    return value


def _parse_tcp(value: str) -> str:
    """Return `tcp://ADDRESS:PORT`, the address in its usual spelling."""
    host, _, port = value.removeprefix(TCP).rpartition(":")
    try:
        address = ipaddress.ip_address(host[1:-1] if host.startswith("[") else host)
    except ValueError:
        raise ValueError(f"{LIKE}, not {described(value)}") from None
    is_number = port.isascii() and port.isdecimal() and len(port) <= len(str(LAST_PORT))
    if not is_number or not 1 <= int(port) <= LAST_PORT or (address.version == 6) != ("[" in host):
        raise ValueError(f"{LIKE}, not {described(value)}")
    if not address.is_loopback:
        raise ValueError(
            f"{address} can be reached from outside, and tokens would cross a network in the clear;"
            " take 127.0.0.1, and a proxy with TLS before it"
        )
    spelled = f"[{address}]" if address.version == 6 else str(address)
    return f"{TCP}{spelled}:{int(port)}"


def parse_token_file(value: object) -> str | None:
    """Return the absolute path of a file of tokens; there may be none."""
    return None if value is None or value == "none" else parse_path(value)
