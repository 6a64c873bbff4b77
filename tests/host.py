"""The host under the tests: what it lets them do, and what they left on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}  # Linux: capability.h
MARK = "NATLB_TEST_SESSION"  # in the environment of every process that the tests start
ANNOUNCED = "natlb-tests-"  # an abstract address, and the session: proc(5), /proc/net/unix


@cache
def why_no_namespaces() -> str | None:
    """Return why tests marked `netns` cannot run here, or nothing where they can."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    missing = [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]
    if missing:
        return f"needs {', '.join(missing)}: run as root"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        return f"needs /dev/net/tun: {error.strerror}"
    tried = subprocess.run(
        ["unshare", "--net", "true"], capture_output=True, text=True, check=False
    )
    return f"needs network namespaces: {tried.stderr.strip()}" if tried.returncode else None


@cache
def why_no_docker() -> str | None:
    """Return why tests marked `docker` cannot run here, or nothing where they can."""
    if shutil.which("docker") is None:
        return "needs docker: not installed"
    asked = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    return f"needs a Docker daemon: {asked.stderr.strip()}" if asked.returncode else None


@dataclass(frozen=True)
class Leftovers:
    """What tests could leave on a host: named network namespaces, links, processes."""

    namespaces: frozenset[str]
    links: frozenset[str]
    processes: frozenset[str]

    @classmethod
    def now(cls, session: str) -> Self:
        """Return what is there; of processes, those that carry the mark of `session`."""
        return cls(
            namespaces=_names("/run/netns"),
            links=_names("/sys/class/net"),
            processes=frozenset(_marked(session)),
        )

    def since(self, before: Leftovers) -> list[str]:
        """Return in words what is here now and was not before."""
        return [
            *(f"network namespace {name}" for name in sorted(self.namespaces - before.namespaces)),
            *(f"link {name}" for name in sorted(self.links - before.links)),
            *(f"process {name}" for name in sorted(self.processes - before.processes)),
        ]


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names are what is compared
    except FileNotFoundError:
        return frozenset()


def _marked(session: str) -> Iterator[str]:
    """Yield the living processes that this session started: its children, and what has its mark."""
    for process in _processes():
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            command = (
                (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
            parent = int((process / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except OSError:
            continue  # gone meanwhile, or somebody else's
        if command and (parent == os.getpid() or f"{MARK}={session}".encode() in environment):
            yield f"{process.name}: {command.strip()}"


def _processes() -> Iterator[Path]:
    """Yield every process but this one, as its folder in /proc."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            yield folder


@contextlib.contextmanager
def announced(session: str) -> Iterator[None]:
    """Let other sessions on this host know that this one runs, by an address that ends with it.

    Its processes alone would not do: a test that works in namespaces may have none for seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as address:
        address.bind(f"\0{ANNOUNCED}{session}")
        yield


def others_are_testing(session: str) -> bool:
    """Whether another session runs on this host: what it made is not left behind by this one."""
    addresses = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").split()
    announcements = {each for each in addresses if each.startswith(f"@{ANNOUNCED}")}
    return bool(announcements - {f"@{ANNOUNCED}{session}"})
