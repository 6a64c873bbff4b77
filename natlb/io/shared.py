"""The data plane's memory as memfds: made once, mapped by whoever holds the descriptor.

A memfd begins with a header that says what it is (a magic word, the kind, LAYOUT_VERSION) and
where each of its arrays lies. Mapping one judges all of that first, and refuses with ValueError
what is of another kind or version, or shorter than it says: state is never misread. No pickle.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from natlb.core.layout import LAYOUT_VERSION, MOST_FLOWS
from natlb.core.memory import SHAPES, TUPLES, Kind, Shape, flow_items, start_flows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from natlb.core.flow_table import FlowTable
    from natlb.core.next_hops import NextHops
    from natlb.core.tables import Tables

MAGIC = 0x4E41544C42000000  # "NATLB" and three octets of nothing
ALIGNMENT = 64  # a cache line
MOST_ARRAYS = 16

HEADER = np.dtype(
    [
        ("magic", np.int64),
        ("kind", np.int64),
        ("version", np.int64),
        ("arrays", np.int64),
        ("offset", np.int64, (MOST_ARRAYS,)),
        ("items", np.int64, (MOST_ARRAYS,)),
        ("item_bytes", np.int64, (MOST_ARRAYS,)),
    ]
)


def create(kind: Kind, **items: int) -> int:
    """Make a memfd of a kind, all zero behind its header, and return its descriptor.

    `items` gives the length of each array whose length is not fixed. Its size is sealed: whoever
    maps it need not fear that it is cut off (SIGBUS).
    """
    header = np.zeros(1, HEADER)
    offset = ALIGNMENT * -(-HEADER.itemsize // ALIGNMENT)
    for at, shape in enumerate(SHAPES[kind]):
        count = items.get(shape.name, max(shape.shape[0], 0))
        width = shape.dtype.itemsize * int(np.prod(shape.shape[1:], dtype=np.int64))
        header["offset"][0, at] = offset
        header["items"][0, at] = count
        header["item_bytes"][0, at] = width
        offset += ALIGNMENT * -(-count * width // ALIGNMENT)
    header["magic"], header["kind"], header["version"] = MAGIC, kind, LAYOUT_VERSION
    header["arrays"] = len(SHAPES[kind])
    fd = os.memfd_create(f"natlb-{kind.name.lower()}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, offset)
    os.pwrite(fd, header.tobytes(), 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


def attach(kind: Kind, fd: int, *, writable: bool = True) -> Any:
    """Map a memfd and return its arrays as the named tuple of its kind.

    Raises ValueError, saying what was found, where it is no whole memfd of this kind and version.
    """
    size = os.fstat(fd).st_size
    if size < HEADER.itemsize:
        message = f"{size} octets are no {kind.name.lower()} memory"
        raise ValueError(message)
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    memory = np.frombuffer(mmap.mmap(fd, size, mmap.MAP_SHARED, access), np.uint8)
    header = memory[: HEADER.itemsize].view(HEADER)[0]
    found = int(header["magic"]), int(header["kind"]), int(header["version"])
    if found != (MAGIC, kind, LAYOUT_VERSION) or int(header["arrays"]) != len(SHAPES[kind]):
        message = f"memory of kind and version {found[1:]}, expected {(int(kind), LAYOUT_VERSION)}"
        raise ValueError(message)
    arrays = (_cut(memory, header, at, shape) for at, shape in enumerate(SHAPES[kind]))
    return TUPLES[kind](*arrays)


def _cut(memory: NDArray[np.uint8], header: Any, at: int, shape: Shape) -> NDArray[Any]:
    """Return one array of a mapped memfd, its place and size judged first."""
    offset, items, width = (int(header[name][at]) for name in ("offset", "items", "item_bytes"))
    expected = shape.dtype.itemsize * int(np.prod(shape.shape[1:], dtype=np.int64))
    fixed = shape.shape[0]
    fits = offset >= 0 and items >= 0 and offset + items * width <= memory.size
    if width != expected or not fits or fixed not in (-1, items) or offset % ALIGNMENT:
        message = f"array {shape.name!r} does not lie where the header says"
        raise ValueError(message)
    cut = memory[offset : offset + items * width].view(shape.dtype)
    return cut.reshape((items, *shape.shape[1:]))


def create_flows(
    max_flows: int, secret: bytes, epoch_ns: int, *, worker: int = 0, workers: int = 1
) -> int:
    """Make an empty flow table for `max_flows` (1 to MOST_FLOWS) and return its memfd.

    It is that of one worker among so many.
    """
    if not 1 <= max_flows <= MOST_FLOWS:
        message = f"max_flows {max_flows} is not in 1..{MOST_FLOWS}"
        raise ValueError(message)
    fd = create(Kind.FLOWS, **flow_items(max_flows))
    flows = attach(Kind.FLOWS, fd)
    start_flows(flows, max_flows, secret, epoch_ns, worker=worker, workers=workers)
    return fd


def create_tables(tables: Tables) -> int:
    """Write a generation of tables into a memfd, seal it against any change, and return it."""
    return _create_sealed(Kind.TABLES, tables)


def create_next_hops(hops: NextHops) -> int:
    """Do the same with a generation of next hops."""
    return _create_sealed(Kind.NEXT_HOPS, hops)


def _create_sealed(kind: Kind, arrays: Tables | NextHops) -> int:
    lengths = {name: array.shape[0] for name, array in arrays._asdict().items()}
    fd = create(kind, **lengths)
    target = attach(kind, fd)
    for source, copy in zip(arrays, target, strict=True):
        copy[...] = source
    del target, copy
    seal(fd)
    return fd


def seal(fd: int) -> None:
    """Forbid every later change of a memfd; no writable mapping of it may be left."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)


def touch(flows: FlowTable) -> None:
    """Have the kernel give the table's pages now, not at the first packets: 1.4 s for 640 MB."""
    for array in (flows.rows, flows.buckets):
        octets = array.view(np.uint8).reshape(-1)
        octets[:: mmap.PAGESIZE] |= 0
