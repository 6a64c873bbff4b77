"""How `doctor` looks at the host: each question answered without changing anything."""

from __future__ import annotations

import mmap
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from natlb.control.host.leftovers import find
from natlb.control.host.packet_sockets import AF_XDP, why_no_packet
from natlb.control.host.tun import why_no_tun
from natlb.netlink import dropping_chains

if TYPE_CHECKING:
    from collections.abc import Mapping

    from natlb.errors import NatlbError


class Probe(Protocol):
    """The questions."""

    @property
    def python(self) -> tuple[int, int, int]:
        """The version of Python."""

    @property
    def release(self) -> str:
        """The kernel's name for itself."""

    @property
    def uid(self) -> int:
        """Who asks."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of who asks."""

    def text(self, path: str) -> str | None:
        """Return what a file says; None where it is not there, or may not be read."""

    def is_read_only(self, path: str) -> bool:
        """Return whether this file lies on something mounted read-only."""

    def capabilities(self) -> int:
        """Return the capabilities in force, as a mask."""

    def is_installed(self, module: str) -> bool:
        """Return whether a module could be imported."""

    def tun(self) -> NatlbError | None:
        """Return why /dev/net/tun cannot be opened, or None."""

    def packet(self) -> NatlbError | None:
        """Return why there is no packet socket for this process, or None."""

    def xdp(self) -> NatlbError | None:
        """Return why there is no AF_XDP socket for this process, or None."""

    def memfd(self) -> bool:
        """Return whether there is sealed memory to share."""

    def executable_memory(self) -> bool:
        """Return whether memory may be written and then run, as compiled code must be."""

    def leftovers(self) -> list[str]:
        """Return natlb's marks in this namespace."""

    def dropping_chains(self) -> list[str] | None:
        """Return which chains drop what is forwarded; None where that cannot be seen."""


class HostProbe:
    """The host itself, in the namespace of this thread."""

    def __init__(self) -> None:
        """Note what does not change."""
        self.python = sys.version_info[:3]
        self.release = platform.release()
        self.uid = os.geteuid()
        self.environment: Mapping[str, str] = os.environ

    def text(self, path: str) -> str | None:
        """Return what a file says."""
        try:
            return Path(path).read_text(encoding="ascii", errors="replace")
        except OSError:
            return None

    def is_read_only(self, path: str) -> bool:
        """Return whether it cannot be written whatever the rights; what is not there can be."""
        return Path(path).exists() and bool(os.statvfs(path).f_flag & os.ST_RDONLY)

    def capabilities(self) -> int:
        """Return CapEff."""
        status = self.text("/proc/thread-self/status") or "CapEff: 0"
        return int(status.split("CapEff:")[1].split()[0], 16)

    def is_installed(self, module: str) -> bool:
        """Return whether there is such a module, without loading it."""
        return find_spec(module) is not None

    def tun(self) -> NatlbError | None:
        """Return why /dev/net/tun cannot be opened, having tried."""
        return why_no_tun()

    def packet(self) -> NatlbError | None:
        """Return why there is no packet socket, having tried."""
        return why_no_packet()

    def xdp(self) -> NatlbError | None:
        """Return why there is no AF_XDP socket, having tried."""
        return why_no_packet(AF_XDP)

    def memfd(self) -> bool:
        """Return whether memfds can be made and sealed, having made one."""
        try:
            os.close(os.memfd_create("natlb-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        except OSError:
            return False
        return True

    def executable_memory(self) -> bool:
        """Return whether a page may be writable and executable, having asked for one."""
        try:
            mmap.mmap(
                -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            ).close()
        except OSError:
            return False
        return True

    def leftovers(self) -> list[str]:
        """Return natlb's marks here."""
        return find()

    def dropping_chains(self) -> list[str] | None:
        """Return what nf_tables shows."""
        return dropping_chains()
