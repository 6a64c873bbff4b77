"""The CPUs that workers are pinned to, where somebody asks for it: `natlb run --cpus 0,2-3`.

Worker 0 gets the first of the list, worker 1 the next, and from the beginning again. Nothing else
is pinned: supervisor, control and nursery run wherever the system lets them.
"""

from __future__ import annotations

import os
import re

from natlb.errors import HostError, UsageError

MOST_CPUS = 4096
PART = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")


def parse_cpus(text: str) -> tuple[int, ...]:
    """Return the CPUs of a list like `0,2-3`, in its order. Raises UsageError."""
    found: list[int] = []
    for part in text.split(","):
        match = PART.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < MOST_CPUS:
            message = f"--cpus {text}: {part.strip()!r} is neither a CPU nor a range of them"
            raise UsageError(message, fix="natlb run --cpus 0,2-3 -c FILE")
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def require_cpus(cpus: tuple[int, ...]) -> None:
    """Return where this process may run on all of them. Raises HostError."""
    usable = os.sched_getaffinity(0)
    missing = [cpu for cpu in cpus if cpu not in usable]
    if missing:
        raise HostError(
            f"--cpus names CPU {missing[0]}, and natlb may run on {words_of(usable)}",
            fix=f"natlb run --cpus {words_of(usable)} -c FILE",
        )


def words_of(cpus: set[int]) -> str:
    """Return a list as `parse_cpus` reads it."""
    parts: list[str] = []
    ordered = sorted(cpus)
    while ordered:
        first = last = ordered.pop(0)
        while ordered and ordered[0] == last + 1:
            last = ordered.pop(0)
        parts.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(parts)
