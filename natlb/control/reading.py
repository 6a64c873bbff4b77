"""Files that control reads for whoever calls the API, and what it may quote of them.

A message about a mistake quotes the line it is in. Whoever may reload can name any file, so that
a message could show what only root may read. Laws

    What the supervisor had to open is never quoted.
    Where others than our own group may call, only what everybody on this host may read is quoted.
    What is not quoted is told of by file, line, column and what was expected there.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from natlb.control.compile.programs import read_program
from natlb.control.config import read_config
from natlb.control.config.load import MAX_OCTETS, decode_config, file_name
from natlb.control.doors import DoorNumber, Tokens, parse_tokens, refuse_open_file
from natlb.control.memory import read_all
from natlb.control.policy.program_source import MOST_OCTETS, decode_program
from natlb.control.roles import Role
from natlb.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from natlb.control.config import Config
    from natlb.control.link import SupervisorLink

MOST_TOKEN_OCTETS = 1 << 19
CONFIGURATION = "expected what docs/configuration.md has at this place"
POLICY = "expected what docs/policies-of-your-own.md lets a policy say, and do on a sample"


@dataclass(frozen=True, slots=True)
class FileText:
    """A file as it was read."""

    text: str
    is_quotable: bool = True


@dataclass(frozen=True, slots=True)
class Quoting:
    """What messages about some files, by the names that they have in them, may show."""

    names: tuple[str, ...]
    is_allowed: bool
    expected: str

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Have an error that is raised within quote no more than it may."""
        try:
            yield
        except ConfigError as error:
            if self.is_allowed or not any(name in error.message for name in self.names):
                raise
            raise self._unquoted(error.message) from None

    def _unquoted(self, message: str) -> ConfigError:
        names = "|".join(re.escape(name) for name in self.names)
        places = re.findall(rf"^(?:{names}):\d+(?::\d+)?(?=: )", message, re.MULTILINE)
        lines = [f"{place}: {self.expected}" for place in dict.fromkeys(places or self.names)]
        return ConfigError(
            "\n".join([*lines, "no more is shown: not everybody who may reload may read it"]),
            fix="natlb validate FILE, with its configuration, as somebody who may read both",
        )


class FileReader:
    """Reads files with control's own rights, or with the supervisor's where these do not do."""

    def __init__(self, link: SupervisorLink) -> None:
        """Know whom to ask."""
        self._link = link

    async def config(self, path: Path) -> FileText:
        """Return a configuration's text. Raises ConfigError."""
        return await self._read(path, read_config, decode_config, MAX_OCTETS, CONFIGURATION)

    async def program(self, path: Path) -> FileText:
        """Return the text of a policy of the user's own. Raises ConfigError."""
        return await self._read(path, read_program, decode_program, MOST_OCTETS, POLICY)

    async def tokens_of(self, config: Config) -> Tokens:
        """Return the tokens that a configuration names, none where it names none."""
        path = config.api.token_file
        return Tokens() if path is None else await self.tokens(Path(path))

    async def tokens(self, path: Path) -> Tokens:
        """Return the tokens of a file. Raises ConfigError, which quotes nothing of it."""
        name = str(path)
        fd = await self._open(path)
        try:
            refuse_open_file(os.fstat(fd).st_mode, name)
            octets = await asyncio.to_thread(read_all, fd, MOST_TOKEN_OCTETS + 1, 0)
        finally:
            os.close(fd)
        if len(octets) > MOST_TOKEN_OCTETS:
            raise ConfigError(f"{name} is over {MOST_TOKEN_OCTETS} octets")
        return parse_tokens(octets.decode("utf-8", "replace"), name)

    async def _open(self, path: Path) -> int:
        """Return a file open for reading, by the supervisor's rights if need be."""
        try:
            return await asyncio.to_thread(open_own, path)
        except (OSError, ValueError) as error:
            if isinstance(error, PermissionError) and self._link.is_up:
                return await self._link.open_file(str(path))
            raise ConfigError(f"cannot read {path}: {why_not(error)}") from None

    async def _read(
        self,
        path: Path,
        read: Callable[[Path], str],
        decode: Callable[[bytes, str], str],
        most: int,
        expected: str,
    ) -> FileText:
        try:
            fd = await asyncio.to_thread(open_own, path)
            is_quotable = is_public(fd) or not self._strangers_call()
        except PermissionError:
            if not self._link.is_up:
                return FileText(await asyncio.to_thread(read, path), is_quotable=False)
            fd, is_quotable = await self._link.open_file(str(path)), False
        except (OSError, ValueError):  # whose words are those of who reads it otherwise
            return FileText(await asyncio.to_thread(read, path), is_quotable=False)
        try:
            octets = await asyncio.to_thread(read_all, fd, most + 1, 0)
        finally:
            os.close(fd)
        name = file_name(path)
        with Quoting((name,), is_quotable, expected).kept():
            return FileText(decode(octets, name), is_quotable)

    def _strangers_call(self) -> bool:
        """Return whether the API's socket is open to others than our own group."""
        held = self._link.holdings.get(Role.API_LISTENER)
        if held is None:
            return False  # nobody calls yet
        if (Role.API_LISTENER, DoorNumber.TCP) in self._link.holdings:
            return True
        with socket.socket(fileno=os.dup(held.fd)) as listening:
            try:
                said = Path(listening.getsockname()).stat()
            except OSError:
                return True
        return said.st_gid != os.getegid() or bool(said.st_mode & stat.S_IRWXO)


def why_not(error: Exception) -> str:
    """Return why a file cannot be read."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def open_own(path: Path) -> int:
    """Return an ordinary file, open for reading. Raises OSError, ValueError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError("not a file")
    return fd


def is_public(fd: int) -> bool:
    """Return whether everybody on this host may read an open file, where it lies now."""
    try:
        way = Path(f"/proc/self/fd/{fd}").readlink().parents
        modes = [each.stat().st_mode for each in way]
    except OSError:
        return False
    is_reachable = all(mode & stat.S_IXOTH for mode in modes)
    return is_reachable and bool(os.fstat(fd).st_mode & stat.S_IROTH)
