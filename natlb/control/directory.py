"""`/run/natlb/NETNS/`: what an instance keeps by its network namespace.

    lock       held by the living supervisor; says its pid, the instance's token, the namespace,
               and which code and which state it is
    journal    what to undo on the host
    handover   the socket on which control hands everything to the next supervisor
    keeper     the same of the keeper, for when control cannot
    natlb.sock the API, or a link to where the configuration puts it; natlb-operate.sock and
               natlb-read.sock the same for other roles

NETNS is the inode number of the namespace, and the kernel uses such numbers again: the lock also
names the boot and the namespace's cookie, and what a namespace that is gone left is forgotten, not
undone. The token stands in the environment of every child: so an orphan is known to be natlb's.

Law: the lock is flock's, so it ends with its holder; no child inherits it (close on exec).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from natlb.control.doors import UNIX_DOORS, DoorNumber, door_path
from natlb.control.listener import is_answered
from natlb.errors import BusyError, DeniedError

ROOT = Path("/run/natlb")
SO_NETNS_COOKIE = 71  # Linux 5.14: asm-generic/socket.h
INSTANCE_VARIABLE = "NATLB_INSTANCE"
RESUME_VARIABLE = "NATLB_RESUME"  # control is to begin with the changes of an earlier instance
OWN_NAMESPACE = Path("/proc/self/ns/net")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def own_directory(root: Path = ROOT) -> Path:
    """Return the directory of the network namespace that this process is in."""
    return root / str(OWN_NAMESPACE.stat().st_ino)


def namespace_identity() -> str:
    """Return a name for this namespace that no other ever has, in this boot or another."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            cookie = int.from_bytes(
                probe.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little"
            )
        except OSError:
            cookie = 0
    return f"{BOOT_ID.read_text().strip()}:{cookie}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What a lock file says: who held it last, and over which instance."""

    pid: int
    token: str
    namespace: str
    code: str = ""
    state: str = ""

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """Return the holder that the text names, None where it names none."""
        words = text.split()
        if len(words) not in {3, 5} or not words[0].isdecimal():
            return None
        code, state = [*words[3:], "", ""][:2]
        return cls(pid=int(words[0]), token=words[1], namespace=words[2], code=code, state=state)


class Lock:
    """An instance's directory, held by this process."""

    def __init__(
        self, directory: Path, fd: int, previous: Holder | None, code: str, state: str
    ) -> None:
        """Own a locked lock file; `previous` held it before, `code` and `state` are our own."""
        self.code, self.state = code, state
        self.directory = directory
        self._fd = fd
        same = previous is not None and previous.namespace == namespace_identity()
        self.previous = previous if same else None
        self.token = self.previous.token if self.previous else secrets.token_hex(16)
        if not same:
            self._forget_another_namespace()
        self._sign()

    @property
    def journal(self) -> Path:
        """What to undo on the host."""
        return self.directory / "journal"

    @property
    def handover(self) -> Path:
        """The socket on which control hands everything over."""
        return self.directory / "handover"

    @property
    def keeper(self) -> Path:
        """The socket on which the keeper does, where control cannot."""
        return self.directory / "keeper"

    def api(self, door: DoorNumber = DoorNumber.ADMIN) -> Path:
        """Where the API listens by default."""
        return door_path(self.directory / "natlb.sock", door)

    def _forget_another_namespace(self) -> None:
        for stale in (self.journal, self.handover, self.keeper):
            stale.unlink(missing_ok=True)

    def _sign(self) -> None:
        text = f"{os.getpid()} {self.token} {namespace_identity()} {self.code} {self.state}\n"
        os.pwrite(self._fd, text.encode(), 0)
        os.ftruncate(self._fd, len(text))

    def lead_to(self, path: Path, door: DoorNumber = DoorNumber.ADMIN) -> None:
        """Have commands of this namespace find the API that is about to listen at `path`."""
        own = self.api(door)
        if path != own or own.is_symlink():
            own.unlink(missing_ok=True)
        if path != own:
            own.symlink_to(path)

    def remove(self) -> None:
        """Leave nothing: remove what a stopped instance has here, and the directory with it."""
        doors = [self.api(door) for door in UNIX_DOORS]
        for door in doors:
            _remove_target(door)
        for own in (self.handover, self.keeper, *doors, self.directory / "lock"):
            with contextlib.suppress(OSError):
                own.unlink()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def release(self) -> None:
        """Let the next one have the directory."""
        os.close(self._fd)


def _remove_target(link: Path) -> None:
    """Remove the socket that a link leads to, where a crash has left it.

    Somebody else may listen there: an instance of another namespace that has the same place.
    """
    with contextlib.suppress(OSError):
        if link.is_symlink() and link.is_socket() and not is_answered(link):
            link.resolve().unlink()


def last_holder(directory: Path) -> Holder | None:
    """Return who holds the lock or held it last in this namespace; nothing is touched."""
    try:
        holder = Holder.parse((directory / "lock").read_text(errors="replace"))
    except OSError:
        return None
    return holder if holder and holder.namespace == namespace_identity() else None


def take_lock(directory: Path, code: str = "", state: str = "") -> Lock:
    """Return the directory's lock, making the directory where it is missing.

    Raises BusyError, naming the holder, where a supervisor lives; DeniedError without the right
    to make the directory.
    """
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        fd, text = _lock_file(directory / "lock")
    except PermissionError as error:
        raise DeniedError(
            f"cannot write {error.filename or directory}", fix="sudo natlb run …"
        ) from None
    return Lock(directory, fd, Holder.parse(text), code, state)


def _lock_file(path: Path) -> tuple[int, str]:
    """Return the locked file and its text; a file that its last holder just removed is left."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = Holder.parse(os.pread(fd, 4096, 0).decode(errors="replace"))
            os.close(fd)
            who = f"process {holder.pid}" if holder else "another process"
            raise BusyError(
                f"natlb runs in this network namespace already: {who} holds {path}",
                fix=f"kill {holder.pid}" if holder else None,
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(fd).st_ino:
                return fd, os.pread(fd, 4096, 0).decode(errors="replace")
        os.close(fd)
