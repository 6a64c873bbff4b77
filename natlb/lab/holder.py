"""The process that keeps an ordinary user's labs: a user namespace, and in it mounts and a network.

    python -m natlb.lab.holder [--inside]

It makes the three namespaces, with a /run of their own, tells `ready` and sleeps; commands enter
them by its pid. With `--inside` it stays where it is started: the namespaces were there before it.
What the host refuses it tells as a JSON object with the step and the errno.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from natlb.lab.libc import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_REC,
    MS_SLAVE,
    mount,
    unshare,
)

MARK = "natlb-holder"  # the name of the process once it can be entered; 15 octets at most
SELF = Path("/proc/self")


def leave_host() -> None:
    """Have this process in namespaces of its own, where it is root; one id is mapped."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET)
    (SELF / "setgroups").write_text("deny")  # else an ordinary user may not map a group
    (SELF / "uid_map").write_text(f"0 {uid} 1")
    (SELF / "gid_map").write_text(f"0 {gid} 1")


def mount_own_places() -> None:
    """Mount a /run of our own, and a /sys that shows our network where the host allows it."""
    mount("none", "/", "", MS_REC | MS_SLAVE)
    mount("none", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    with suppress(OSError):  # a container that hides parts of /sys: the lab does not need it
        mount("none", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def main() -> None:
    """Make the namespaces, tell how it went, and sleep until killed."""
    try:
        if "--inside" not in sys.argv:
            leave_host()
            mount_own_places()
        (SELF / "comm").write_text(MARK)
    except OSError as error:
        sys.stdout.write(json.dumps({"errno": error.errno, "step": str(error)}))
        sys.exit(1)
    sys.stdout.write("ready")
    sys.stdout.flush()
    os.close(sys.stdout.fileno())
    signal.pause()


if __name__ == "__main__":
    main()
