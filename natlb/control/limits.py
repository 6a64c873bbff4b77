"""What a process may take of the host while it does one thing, and has back afterwards.

Only the soft limits are lowered, so that no right is needed to raise them again: what is forked
later inherits what was in force before. A process that leaves them by force is ended by the kernel.
"""

from __future__ import annotations

import contextlib
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def limited(*, octets: int, seconds: int) -> Iterator[None]:
    """Let this process have so much memory in all, and so many seconds more of a processor.

    Beyond the memory an allocation fails; beyond the time SIGXCPU ends the process.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    before = {
        kind: _lower(kind, most)
        for kind, most in ((resource.RLIMIT_AS, octets), (resource.RLIMIT_CPU, used + seconds))
    }
    try:
        yield
    finally:
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)


def allow_files(wanted: int) -> int:
    """Raise the soft limit of open files to this, as far as the hard one lets; return what holds.

    Most systems start processes with 1,024, which programs that use select() rely on.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def _lower(kind: int, most: int) -> tuple[int, int]:
    """Lower a soft limit to this, unless it is lower already; return what was in force."""
    soft, hard = resource.getrlimit(kind)
    if soft == resource.RLIM_INFINITY or soft > most:
        resource.setrlimit(kind, (most, hard))
    return soft, hard
