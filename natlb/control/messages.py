"""What supervisor, control and workers say to each other: fixed layouts over SOCK_SEQPACKET.

Each kind says who sends it, and has its layout beside it: `coding` writes and reads them, `channel`
carries them.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass
from typing import ClassVar, Self

from natlb.control.roles import Role  # noqa: TC001 - `coding` reads the annotations

NO_CPU = 0xFFFF


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message without a body."""

    kind: ClassVar[int] = 0
    layout: ClassVar[struct.Struct] = struct.Struct("")
    fds: ClassVar[int] = 0


@dataclass(frozen=True, kw_only=True)
class Hold(Message):
    """Keep this fd: supervisor and control mirror what they hold, a worker takes what it needs."""

    kind: ClassVar[int] = 1
    layout: ClassVar[struct.Struct] = struct.Struct("<HHQQ")
    fds: ClassVar[int] = 1
    role: Role
    index: int = 0
    value: int = 0
    stamp: int = 0


@dataclass(frozen=True, kw_only=True)
class Release(Message):
    """Close the fd of this role."""

    kind: ClassVar[int] = 2
    layout: ClassVar[struct.Struct] = struct.Struct("<HH")
    role: Role
    index: int = 0


@dataclass(frozen=True, kw_only=True)
class Start(Message):
    """To control, after what it is to hold: begin. `fresh`: nothing was published yet."""

    kind: ClassVar[int] = 3
    layout: ClassVar[struct.Struct] = struct.Struct("<HQ")
    fresh: int
    started_ns: int
    text: str  # the configuration's path


@dataclass(frozen=True, kw_only=True)
class Reload(Message):
    """To control: load the configuration again, from this path; empty: from the same."""

    kind: ClassVar[int] = 4
    text: str


@dataclass(frozen=True, kw_only=True)
class Leave(Message):
    """To control or a worker: end in good order."""

    kind: ClassVar[int] = 5


@dataclass(frozen=True, kw_only=True)
class Processes(Message):
    """To control: who is the worker of this number. `ready`: all of them forward."""

    kind: ClassVar[int] = 6
    layout: ClassVar[struct.Struct] = struct.Struct("<HHIIII")
    index: int
    ready: int
    compiled: int
    supervisor: int
    worker: int
    restarts: int


@dataclass(frozen=True, kw_only=True)
class Want(Message):
    """To the supervisor: make the host's network so; the memfd holds an encoded `Wanted`.

    Answered by `Hold` of the HOST_PLAN that came of it, then `Done`; or by `Refused`.
    """

    kind: ClassVar[int] = 7
    layout: ClassVar[struct.Struct] = struct.Struct("<Q")
    fds: ClassVar[int] = 1
    serial: int


@dataclass(frozen=True, kw_only=True)
class Listen(Message):
    """To the supervisor: make the API's socket at this path and hand it over by `Hold`."""

    kind: ClassVar[int] = 8
    layout: ClassVar[struct.Struct] = struct.Struct("<Q")
    serial: int
    text: str


@dataclass(frozen=True, kw_only=True)
class ReadFile(Message):
    """To the supervisor: open this configuration, which control's uid alone may not read."""

    kind: ClassVar[int] = 9
    layout: ClassVar[struct.Struct] = struct.Struct("<Q")
    serial: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Done(Message):
    """To control: the request with this serial is fulfilled."""

    kind: ClassVar[int] = 10
    layout: ClassVar[struct.Struct] = struct.Struct("<Q")
    serial: int


@dataclass(frozen=True, kw_only=True)
class File(Message):
    """To control: what `ReadFile` asked for, open for reading, or the socket of `OpenSocket`."""

    kind: ClassVar[int] = 11
    layout: ClassVar[struct.Struct] = struct.Struct("<Q")
    fds: ClassVar[int] = 1
    serial: int


@dataclass(frozen=True, kw_only=True)
class Refused(Message):
    """To control: the request failed with this exit code; the text is message, NUL, fix."""

    kind: ClassVar[int] = 12
    layout: ClassVar[struct.Struct] = struct.Struct("<QH")
    serial: int
    exit_code: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Failed(Message):
    """To the supervisor: this child gives up; the memfd holds message, NUL, fix."""

    kind: ClassVar[int] = 13
    layout: ClassVar[struct.Struct] = struct.Struct("<H")
    fds: ClassVar[int] = 1
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class Logging(Message):
    """To the supervisor: log from this level on (`logging`'s numbers), as text or JSON."""

    kind: ClassVar[int] = 14
    layout: ClassVar[struct.Struct] = struct.Struct("<HH")
    level: int
    json: int


@dataclass(frozen=True, kw_only=True)
class Serving(Message):
    """To the supervisor: a generation is published and the API answers; the text says of what."""

    kind: ClassVar[int] = 15
    layout: ClassVar[struct.Struct] = struct.Struct("<Q")
    generation: int
    text: str


@dataclass(frozen=True, kw_only=True)
class HandedOver(Message):
    """To an adopting supervisor, after all that is held: that was everything."""

    kind: ClassVar[int] = 16
    layout: ClassVar[struct.Struct] = struct.Struct("<QHHHI")
    started_ns: int
    level: int
    json: int
    compiled: int
    pid: int  # control's
    text: str  # how often each worker had to be replaced, by its number

    @property
    def restarts(self) -> tuple[int, ...]:
        """The same as numbers; a word that is none counts as never."""
        return tuple(int(word) if word.isdecimal() else 0 for word in self.text.split())


@dataclass(frozen=True, kw_only=True)
class Attach(Message):
    """To a worker, after its fds: forward as this worker. `takeover`: another died over them."""

    kind: ClassVar[int] = 17
    layout: ClassVar[struct.Struct] = struct.Struct("<HH")
    index: int
    takeover: int


@dataclass(frozen=True, kw_only=True)
class Prepared(Message):
    """From the nursery: it can fork. `dropped`: the uid, too; `text`: why nobody is filtered."""

    kind: ClassVar[int] = 18
    layout: ClassVar[struct.Struct] = struct.Struct("<HH")
    compiled: int
    dropped: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Reading(Message):
    """From a worker: it forwards by the tables of this generation."""

    kind: ClassVar[int] = 19
    layout: ClassVar[struct.Struct] = struct.Struct("<HQ")
    index: int
    generation: int


@dataclass(frozen=True, kw_only=True)
class QueueLost(Message):
    """From a worker: the TUN behind this queue is gone."""

    kind: ClassVar[int] = 20
    layout: ClassVar[struct.Struct] = struct.Struct("<HH")
    role: Role
    index: int


@dataclass(frozen=True, kw_only=True)
class Note(Message):
    """From the nursery: a word for the user."""

    kind: ClassVar[int] = 21
    text: str


@dataclass(frozen=True, kw_only=True)
class Wake(Message):
    """To a worker: commands wait in its ring."""

    kind: ClassVar[int] = 22


@dataclass(frozen=True, kw_only=True)
class Fork(Message):
    """To the nursery: make a worker that talks by this end, on this CPU; NO_CPU: on any."""

    kind: ClassVar[int] = 23
    layout: ClassVar[struct.Struct] = struct.Struct("<H")
    fds: ClassVar[int] = 1
    cpu: int = NO_CPU


@dataclass(frozen=True, kw_only=True)
class Forked(Message):
    """From the nursery: the worker, with its pidfd."""

    kind: ClassVar[int] = 24
    layout: ClassVar[struct.Struct] = struct.Struct("<I")
    fds: ClassVar[int] = 1
    pid: int


@dataclass(frozen=True, kw_only=True)
class Ended(Message):
    """From the nursery: a worker's exit code; a signal's number is negative, in 32 bits."""

    kind: ClassVar[int] = 25
    layout: ClassVar[struct.Struct] = struct.Struct("<II")
    pid: int
    status: int


@dataclass(frozen=True, kw_only=True)
class Learn(Message):
    """To the supervisor: have a nursery compile these programs; `Done` or `Refused`."""

    kind: ClassVar[int] = 26
    layout: ClassVar[struct.Struct] = struct.Struct("<Q")
    fds: ClassVar[int] = 1
    serial: int


@dataclass(frozen=True, kw_only=True)
class Learned(Message):
    """From the nursery: the programs of this digest are compiled; else the memfd says why not."""

    kind: ClassVar[int] = 27
    layout: ClassVar[struct.Struct] = struct.Struct("<HQ")
    fds: ClassVar[int] = 1
    exit_code: int  # 0: they are
    value: int


@dataclass(frozen=True, kw_only=True)
class Unlearn(Message):
    """To the supervisor: what was learned last will not serve; whoever learned it may go."""

    kind: ClassVar[int] = 28


@dataclass(frozen=True, kw_only=True)
class OpenSocket(Message):
    """To the supervisor: make a socket in the private side's namespace; `File` or `Refused`."""

    kind: ClassVar[int] = 29
    layout: ClassVar[struct.Struct] = struct.Struct("<QHH")
    serial: int
    family: int  # AF_INET, AF_INET6
    type: int  # SOCK_STREAM, SOCK_DGRAM


@dataclass(frozen=True, kw_only=True)
class Told(Message):
    """To control: keep this as an event; the supervisor has logged it.

    `level` is one of `logging`'s numbers; the text is the kind, then each field's name and value,
    with NULs between.
    """

    kind: ClassVar[int] = 40
    layout: ClassVar[struct.Struct] = struct.Struct("<H")
    level: int
    text: str

    @classmethod
    def of(cls, kind: str, level: str, words: dict[str, str]) -> Self:
        """Return the message about this fact; level by name."""
        parts = [kind, *(part for word in words.items() for part in word)]
        text = "\0".join(part.replace("\0", "") for part in parts)
        return cls(level=getattr(logging, level.upper()), text=text)

    @property
    def fact(self) -> tuple[str, dict[str, str]]:
        """The kind, and the fields."""
        kind, *words = self.text.split("\0")
        return kind, dict(zip(words[::2], words[1::2], strict=False))


@dataclass(frozen=True, kw_only=True)
class Ask(Message):
    """To any child: say that you live."""

    kind: ClassVar[int] = 30


@dataclass(frozen=True, kw_only=True)
class Alive(Message):
    """To the supervisor: this child lives; it may be silent for so long now (0: it answers)."""

    kind: ClassVar[int] = 31
    layout: ClassVar[struct.Struct] = struct.Struct("<I")
    patience_ms: int


@dataclass(frozen=True, kw_only=True)
class Output(Message):
    """To control or a worker: this is the standard error to write to from now on."""

    kind: ClassVar[int] = 32
    fds: ClassVar[int] = 1


@dataclass(frozen=True, kw_only=True)
class Summary(Message):
    """To the supervisor: how the instance is, in a few words for a service manager."""

    kind: ClassVar[int] = 33
    text: str


KINDS: dict[int, type[Message]] = {kind.kind: kind for kind in Message.__subclasses__()}
