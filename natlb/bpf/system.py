"""The bpf(2) system call: programs, maps and links, each a descriptor that closes on exec.

What a descriptor stands for goes with its last copy: a link whose descriptors are closed takes its
program off the interface, also when their owner was killed. The numbers are those of Linux: bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from enum import IntEnum
from struct import pack, pack_into, unpack_from

from natlb.errors import BusyError, DeniedError, HostError, NatlbError

# Linux: the tables of system calls
CALL_NUMBERS = {
    "x86_64": 321,
    "aarch64": 280,
    "riscv64": 280,
    "loongarch64": 280,
    "ppc64le": 361,
    "s390x": 351,
}

ATTRIBUTES_OCTETS = 144  # at least what each call here needs; behind that all is zero
LOG_OCTETS = 1 << 20
LOG_LINES = 4  # of the verifier's last, in an error
LICENSE = b"MIT"
NAME_OCTETS = 15
NO_PREALLOCATION = 1  # Linux: bpf.h, BPF_F_NO_PREALLOC


class Command(IntEnum):
    """What bpf(2) is asked for."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    PROG_TEST_RUN = 10
    LINK_CREATE = 28


class MapKind(IntEnum):
    """What kind of map."""

    HASH = 1
    ARRAY = 2
    SOCKETS_OF_XDP = 17


class ProgramKind(IntEnum):
    """Where a program runs."""

    SOCKET_FILTER = 1
    XDP = 6


ATTACH_XDP = 37

_C = ctypes.CDLL(None, use_errno=True)


def call(command: Command, attributes: bytes) -> int:
    """Return what bpf(2) returns; OSError where it fails."""
    memory = ctypes.create_string_buffer(attributes, ATTRIBUTES_OCTETS)
    return _call(command, memory)


def _call(command: Command, memory: ctypes.Array[ctypes.c_char]) -> int:
    """Call with attributes that the kernel may write to."""
    number = CALL_NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    found = int(_C.syscall(number, int(command), memory, ctypes.c_uint(ATTRIBUTES_OCTETS)))
    if found < 0:
        reason = ctypes.get_errno()
        raise OSError(reason, os.strerror(reason))
    return found


def explain(what: str, reason: int, fix: str, log: str = "") -> NatlbError:
    """Return why a call failed: which, by what errno, and the verifier's last words if any."""
    said = "".join(f"\n  {line}" for line in log.splitlines()[-LOG_LINES:])
    message = f"bpf({what}) failed: {errno.errorcode.get(reason, reason)}"
    if reason in (errno.EPERM, errno.EACCES) and not log:
        rights = "CAP_BPF and CAP_NET_ADMIN, outside of a user namespace"
        return DeniedError(f"{message}: it needs {rights}", fix=fix)
    if reason == errno.ENOSYS:
        return HostError(f"{message}: this kernel has no bpf(2)", fix=fix)
    if reason == errno.EBUSY:
        return BusyError(f"{message}: another program is there", fix=fix)
    return HostError(message + said, fix=fix)


def load_program(kind: ProgramKind, instructions: bytes, name: str, *, fix: str) -> int:
    """Return a program's descriptor. NatlbError where the kernel refuses; `fix` says what else."""
    try:
        return _load(kind, instructions, name, 0, None)
    except OSError as error:
        reason = error.errno or 0
    log = ctypes.create_string_buffer(LOG_OCTETS)
    try:  # once more, for what the verifier says
        return _load(kind, instructions, name, LOG_OCTETS, log)
    except OSError:
        said = log.value.decode(errors="replace")
    raise explain("BPF_PROG_LOAD", reason, fix, said)


def _load(
    kind: ProgramKind,
    instructions: bytes,
    name: str,
    log_octets: int,
    log: ctypes.Array[ctypes.c_char] | None,
) -> int:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_ = ctypes.create_string_buffer(LICENSE)
    attributes = pack(
        "=IIQQIIQII16s",
        kind,
        len(instructions) // 8,
        ctypes.addressof(code),
        ctypes.addressof(license_),
        1 if log is not None else 0,
        log_octets,
        ctypes.addressof(log) if log is not None else 0,
        0,
        0,
        name.encode()[:NAME_OCTETS],
    )
    return call(Command.PROG_LOAD, attributes)


def create_map(
    kind: MapKind, key_octets: int, value_octets: int, entries: int, name: str, *, fix: str
) -> int:
    """Return a map's descriptor. A hash's memory is taken entry by entry."""
    flags = NO_PREALLOCATION if kind == MapKind.HASH else 0
    attributes = pack(
        "=IIIIIII16s",
        kind,
        key_octets,
        value_octets,
        entries,
        flags,
        0,
        0,
        name.encode()[:NAME_OCTETS],
    )
    try:
        return call(Command.MAP_CREATE, attributes)
    except OSError as error:
        raise explain("BPF_MAP_CREATE", error.errno or 0, fix) from error


def update(map_fd: int, key: bytes, value: bytes) -> None:
    """Put a value into a map; OSError where it does not take it."""
    _with_element(Command.MAP_UPDATE_ELEM, map_fd, key, value)


def delete(map_fd: int, key: bytes) -> None:
    """Take a key out of a map; OSError (ENOENT) where it is not there."""
    _with_element(Command.MAP_DELETE_ELEM, map_fd, key, b"")


def lookup(map_fd: int, key: bytes, value_octets: int) -> bytes | None:
    """Return a key's value in a map, or nothing."""
    try:
        return _with_element(Command.MAP_LOOKUP_ELEM, map_fd, key, bytes(value_octets))
    except FileNotFoundError:
        return None


def keys(map_fd: int, key_octets: int) -> list[bytes]:
    """Return a map's keys, in its own order."""
    found: list[bytes] = []
    try:
        while True:
            last = found[-1] if found else b""
            found.append(_next_key(map_fd, last, key_octets))
    except FileNotFoundError:
        return found


def _next_key(map_fd: int, key: bytes, key_octets: int) -> bytes:
    """Return the key behind one, or the first."""
    before = ctypes.create_string_buffer(key, key_octets) if key else None
    after = ctypes.create_string_buffer(key_octets)
    address = ctypes.addressof(before) if before is not None else 0
    call(Command.MAP_GET_NEXT_KEY, pack("=IIQQQ", map_fd, 0, address, ctypes.addressof(after), 0))
    return after.raw


def _with_element(command: Command, map_fd: int, key: bytes, value: bytes) -> bytes:
    """Return the value as the kernel left it; without one its place must be empty."""
    place = ctypes.create_string_buffer(key, len(key))
    held = ctypes.create_string_buffer(value, max(len(value), 1))
    address = ctypes.addressof(held) if value else 0
    call(command, pack("=IIQQQ", map_fd, 0, ctypes.addressof(place), address, 0))
    return held.raw


def link_xdp(program_fd: int, ifindex: int, flags: int, *, fix: str) -> int:
    """Return the descriptor of a link: the program runs on the interface as long as it is open."""
    try:
        return call(Command.LINK_CREATE, pack("=IIII", program_fd, ifindex, ATTACH_XDP, flags))
    except OSError as error:
        raise explain("BPF_LINK_CREATE", error.errno or 0, fix) from error


def answer_to(program_fd: int, packet: bytes) -> int:
    """Return what a program returns for a packet; nothing is sent."""
    frame = ctypes.create_string_buffer(packet, len(packet))
    memory = ctypes.create_string_buffer(ATTRIBUTES_OCTETS)
    pack_into(
        "=IIIIQQII", memory, 0, program_fd, 0, len(packet), 0, ctypes.addressof(frame), 0, 1, 0
    )
    _call(Command.PROG_TEST_RUN, memory)
    return int(unpack_from("=I", memory, 4)[0])
