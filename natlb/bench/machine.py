"""Where it was measured: processor, kernel, versions; and how much the machine worked meanwhile."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from natlb import __version__

ROOT = Path(__file__).parents[2]
# The peers and loaders, and what makes each tell its version
TOOLS = {
    "nft": ["nft", "--version"],
    "iperf3": ["iperf3", "--version"],
    "wrk": ["wrk", "-v"],
    "nginx": ["nginx", "-v"],
    "haproxy": ["haproxy", "-v"],
}
BUSY_LOAD = 0.5  # for each CPU
PACKAGES = ("numpy", "numba", "llvmlite")
BUSY_FIELDS = (0, 1, 2, 5, 6)  # Linux: proc(5), /proc/stat: user, nice, system, irq, softirq


def describe() -> dict[str, str]:
    """Return what a reader must know of this machine to make sense of its figures."""
    one, five, _ = os.getloadavg()
    return {
        "date": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "natlb": f"{__version__}, commit {commit()}, {engine()}",
        "machine": f"{processor()}, {os.cpu_count()} CPUs, {memory_gib():.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}, {distribution()}",
        "load before": f"{one:.2f} in the last minute, {five:.2f} in the last five",
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {package_version(name)}" for name in PACKAGES),
        "tools": ", ".join(f"{name} {tool_version(name)}" for name in TOOLS),
    }


def busy_note() -> str:
    """Return that the machine has other work, where it has: all figures suffer, not all alike."""
    one = os.getloadavg()[0]
    if one < BUSY_LOAD * (os.cpu_count() or 1):
        return ""
    return (
        f"the machine was busy before: load {one:.1f} on {os.cpu_count()} CPUs; trust ratios alone"
    )


def processor() -> str:
    """Return the processor's name, and whether it is a virtual machine's."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    words = {key.strip(): value.strip() for key, value in fields.items()}
    name = words.get("model name", platform.machine())
    return f"{name}, virtual" if "hypervisor" in words.get("flags", "").split() else name


def memory_gib() -> float:
    """Return how much memory the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def distribution() -> str:
    """Return the name of the Linux distribution."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def package_version(name: str) -> str:
    """Return the version of a Python package, or that it is missing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def tool_version(name: str) -> str:
    """Return the first number in what a program says of its version, or that it is missing."""
    if shutil.which(name) is None:
        return "missing"
    done = subprocess.run(TOOLS[name], capture_output=True, text=True, timeout=10, check=False)
    return first_version(done.stdout + done.stderr)


def first_version(text: str) -> str:
    """Return the first word of a text that begins like a version: `v1.0.6`, `nginx/1.22.1`."""
    for word in text.replace("/", " ").split():
        digits = word.lstrip("v")
        if digits[:1].isdigit() and "." in digits:
            return digits.strip(",[]()")
    return "unknown"


def engine() -> str:
    """Return whether kernels are compiled here."""
    plain = "interpreted (NATLB_JIT=0), so that natlb's figures mean nothing"
    return plain if os.environ.get("NATLB_JIT") == "0" else "compiled"


def commit() -> str:
    """Return the commit that the tree stands at, and whether natlb was changed since."""
    try:
        number = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "natlb")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{number}, with changes" if changed else number


def git(*words: str) -> str:
    """Return what git says of this tree."""
    command = ["git", "-C", str(ROOT), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """The seconds that all processors together have worked since boot, whoever it was for."""

    busy: float

    @classmethod
    def now(cls) -> Self:
        """Return the time so far, to a hundredth of a second for each processor."""
        return cls(busy=busy_ticks(Path("/proc/stat").read_text()) / os.sysconf("SC_CLK_TCK"))


def busy_ticks(stat: str) -> int:
    """Return the ticks in /proc/stat that were neither idle, nor waited, nor another guest's."""
    fields = stat.splitlines()[0].split()[1:]
    return sum(int(fields[at]) for at in BUSY_FIELDS)
