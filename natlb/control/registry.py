"""The registry: what control must know again after its death, in a memfd that outlives it.

    0        header    magic, layout version, capacity of a copy, digest
    4096     copy 0    sequence number, length, digest of both and of the content; the content
    ...      copy 1    the same

A record is written over the older copy, before what it says is published; the newer copy is not
touched meanwhile. A reader takes the whole copy with the higher number. So a writer killed at any
octet leaves the last record, or the new one, and never a mixture.

A record that outgrows the capacity goes to a larger memfd, which takes the old one's place.
The content is JSON: text, names and numbers, read by the next version as well.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from natlb.control.memory import read_all, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"natlbreg"
LAYOUT = 1
HEADER = struct.Struct("<8sIIQ16s")
COPY = struct.Struct("<QQ16s")
FIRST_COPY = 4096
SMALLEST = 1 << 16
LARGEST = 1 << 28  # a configuration with 65,535 backends takes about 2**24


class RegistryError(Exception):
    """The registry holds no whole record, or is of another layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendPlace:
    """Which backend an index means."""

    index: int
    service: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeChange:
    """What is true of a backend at run time; a weight of None is the file's."""

    service: str
    name: str
    state: str
    weight: int | None
    health: str
    began_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendAdded:
    """A backend that was added at run time, with its address as it was written."""

    service: str
    name: str
    address: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendRemoved:
    """A backend of the file that was removed at run time."""

    service: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMemory:
    """What a service's policy has to know of its earlier pools."""

    service: str
    policy: str
    memory: dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramKept:
    """A program in force, with its text: the file may be another by now."""

    slot: int
    service: str
    role: str
    file: str
    function: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All that control knows and no other place does; `desired` says what it means."""

    generation: int
    seed: int
    started_ns: int
    config_path: str
    config_text: str
    services: dict[str, int] = field(default_factory=dict)
    backends: tuple[BackendPlace, ...] = ()
    changes: tuple[RuntimeChange, ...] = ()
    programs: tuple[ProgramKept, ...] = ()
    memories: tuple[PolicyMemory, ...] = ()
    retired_vips: tuple[str, ...] = ()
    retired_backends: tuple[str, ...] = ()
    added: tuple[BackendAdded, ...] = ()
    removed: tuple[BackendRemoved, ...] = ()
    revision: int = 1

    def to_octets(self) -> bytes:
        """Return the record as it is stored."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_octets(cls, octets: bytes) -> Self:
        """Return the stored record; keys that this version does not know are left out."""
        stored: dict[str, Any] = json.loads(octets)
        known = _known(cls, stored)
        parts: dict[str, type[Any]] = {
            "backends": BackendPlace,
            "changes": RuntimeChange,
            "memories": PolicyMemory,
            "programs": ProgramKept,
            "added": BackendAdded,
            "removed": BackendRemoved,
        }
        for name, kind in parts.items():
            known[name] = tuple(kind(**_known(kind, part)) for part in known.get(name, ()))
        for name in ("retired_vips", "retired_backends"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)


class Registry:
    """The memfd with the two copies, seen by its one writer."""

    def __init__(self, fd: int) -> None:
        """Own the fd of a registry. Raises RegistryError where it is none, or of another layout."""
        self.fd = fd
        self._capacity = _read_header(fd)
        copies = [_read_copy(fd, self._place(number), self._capacity) for number in (0, 1)]
        self._sequence = max((copy[0] for copy in copies if copy), default=0)

    @classmethod
    def create(cls, capacity: int = SMALLEST) -> Self:
        """Return a new registry without a record."""
        fd = os.memfd_create("natlb-registry", os.MFD_CLOEXEC)
        os.ftruncate(fd, FIRST_COPY + 2 * capacity)
        start = HEADER.pack(MAGIC, LAYOUT, 0, capacity, b"")[:-16]
        write_all(fd, start + _digest(start), 0)
        return cls(fd)

    def _place(self, number: int) -> int:
        return FIRST_COPY + number * self._capacity

    def read(self) -> Record:
        """Return the newest whole record. Raises RegistryError where there is none."""
        copies = [_read_copy(self.fd, self._place(n), self._capacity) for n in (0, 1)]
        newest = max((copy for copy in copies if copy), default=None)
        if newest is None:
            raise RegistryError("neither copy holds a whole record")
        return Record.from_octets(newest[1])

    def fits(self, record: Record) -> bool:
        """Return whether a copy has room for the record."""
        return COPY.size + len(record.to_octets()) <= self._capacity

    def write(self, record: Record) -> None:
        """Make this the newest record; the one before stays whole until the next write."""
        for place, octets in self.stores(record.to_octets()):
            write_all(self.fd, octets, place)
        self._sequence += 1

    def stores(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield what is written where, in order: the content, then the head that vouches for it."""
        if COPY.size + len(content) > self._capacity:
            raise RegistryError(f"a record of {len(content)} octets exceeds the capacity")
        sequence = self._sequence + 1
        place = self._place(sequence % 2)
        yield place + COPY.size, content
        numbers = struct.pack("<QQ", sequence, len(content))
        yield place, numbers + _digest(numbers, content)

    def grown_for(self, record: Record) -> Registry:
        """Return a larger registry that holds this record, to be used in the place of this one."""
        capacity = self._capacity
        while capacity < COPY.size + len(record.to_octets()):
            capacity *= 2
        if capacity > LARGEST:
            raise RegistryError(f"a record of {len(record.to_octets())} octets is too large")
        larger = Registry.create(capacity)
        larger.write(record)
        return larger

    def close(self) -> None:
        """Let go of the fd."""
        os.close(self.fd)


def _known(kind: type, stored: dict[str, Any]) -> dict[str, Any]:
    """Return what a stored object says of the fields of a kind."""
    return {name: stored[name] for name in kind.__dataclass_fields__ if name in stored}  # type: ignore[attr-defined] # all are dataclasses


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _read_header(fd: int) -> int:
    """Return the capacity of a copy."""
    head = os.pread(fd, HEADER.size, 0)
    if len(head) < HEADER.size or head[-16:] != _digest(head[:-16]):
        raise RegistryError("not a registry")
    magic, layout, _, capacity, _ = HEADER.unpack(head)
    if magic != MAGIC or layout != LAYOUT:
        raise RegistryError(f"a registry of layout {layout}, not {LAYOUT}")
    if not COPY.size < capacity <= LARGEST or os.fstat(fd).st_size != FIRST_COPY + 2 * capacity:
        raise RegistryError(f"a registry of the wrong size for its capacity of {capacity}")
    return int(capacity)


def _read_copy(fd: int, place: int, capacity: int) -> tuple[int, bytes] | None:
    """Return the sequence number and content of a whole copy, None for any other."""
    head = os.pread(fd, COPY.size, place)
    sequence, length, digest = COPY.unpack(head)
    if sequence == 0 or length > capacity - COPY.size:
        return None
    content = read_all(fd, length, place + COPY.size)
    if len(content) != length or digest != _digest(head[:16], content):
        return None
    return sequence, content
