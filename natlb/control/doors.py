"""Where the API is called, and as whom: a role goes with a socket's file, or with a token.

    read       see everything that `--json` shows
    operate    that, and change backends and flows
    admin      that, and the configuration

Each role may what the one before may. Beside the socket `X.sock`, which is for `admin`, stand
`X-operate.sock` and `X-read.sock`; who may open which is for the file system to say. By TCP the
role is that of the token that comes with each request.

A token file has lines `ROLE TOKEN`, and comments behind `#`. A token is never shown: not in an
error, not in a log.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, get_args

from natlb.errors import ConfigError

if TYPE_CHECKING:
    import socket
    from pathlib import Path

RoleName = Literal["read", "operate", "admin"]
ROLES: tuple[RoleName, ...] = get_args(RoleName)
SHORTEST_TOKEN = 32
LONGEST_TOKEN = 512
MOST_TOKENS = 1000
OTHERS = 0o007


class DoorNumber(IntEnum):
    """Which listening socket of the API a holding is: its `index`."""

    ADMIN = 0
    OPERATE = 1
    READ = 2
    TCP = 3


ROLE_OF_DOOR: dict[DoorNumber, RoleName | None] = {
    DoorNumber.ADMIN: "admin",
    DoorNumber.OPERATE: "operate",
    DoorNumber.READ: "read",
    DoorNumber.TCP: None,
}
TCP = "tcp://"
UNIX_DOORS = (DoorNumber.ADMIN, DoorNumber.OPERATE, DoorNumber.READ)


def may(role: RoleName, needed: RoleName) -> bool:
    """Return whether a role includes what another one may."""
    return ROLES.index(role) >= ROLES.index(needed)


def door_path(main: Path, door: DoorNumber) -> Path:
    """Return where the socket for another role stands: beside the main one."""
    if door == DoorNumber.ADMIN:
        return main
    return main.with_name(f"{main.name.removesuffix('.sock')}-{door.name.lower()}.sock")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Who may do what by TCP; of the tokens only digests are kept."""

    digests: tuple[tuple[bytes, RoleName], ...] = ()

    def role_of(self, token: str) -> RoleName | None:
        """Return the role of a token; takes as long for a wrong one as for any other."""
        given = _digest(token)
        found: RoleName | None = None
        for digest, role in self.digests:
            if hmac.compare_digest(digest, given):
                found = role
        return found


@dataclass(frozen=True, slots=True)
class Door:
    """A listening socket and the role of whoever comes in by it; None: the token says."""

    listening: socket.socket
    role: RoleName | None = "admin"


@dataclass(slots=True)
class Doors:
    """All the doors of the API; a reload puts other tokens here."""

    doors: list[Door]
    tokens: Tokens = field(default_factory=Tokens)


def parse_tokens(text: str, name: str) -> Tokens:
    """Return the tokens of a file. Raises ConfigError, which shows nothing of what is in it."""
    found: dict[bytes, RoleName] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        role, token = _parse_line(words, f"{name}:{number}")
        if _digest(token) in found:
            raise ConfigError(f"{name}:{number}: a token that stands further up already")
        found[_digest(token)] = role
    if not found:
        raise ConfigError(f"{name}: there is no token in it", fix=_example(name))
    if len(found) > MOST_TOKENS:
        raise ConfigError(f"{name}: more than {MOST_TOKENS} tokens")
    return Tokens(tuple(found.items()))


def _parse_line(words: list[str], place: str) -> tuple[RoleName, str]:
    role = next((role for role in ROLES if role == words[0]), None)
    if role is None or len(words) != 2:
        raise ConfigError(f"{place}: expected ROLE TOKEN; roles are {', '.join(ROLES)}")
    token = words[1]
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN or not token.isascii():
        raise ConfigError(
            f"{place}: a token has {SHORTEST_TOKEN} to {LONGEST_TOKEN} letters, digits and signs",
            fix=_example(place.rpartition(":")[0]),
        )
    return role, token


def _example(name: str) -> str:
    return f'echo "read $(openssl rand -hex 32)" >>{name}'


def refuse_open_file(mode: int, name: str) -> None:
    """Raise ConfigError where others than owner and group may open a token file."""
    if mode & OTHERS:
        raise ConfigError(
            f"{name} holds tokens and is open to everybody on this host: mode {mode & 0o777:04o}",
            fix=f"chmod o= {name}",
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
