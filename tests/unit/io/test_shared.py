from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from natlb.core.layout import EPOCH, LAYOUT_VERSION, MOST_FLOWS, ROWS
from natlb.core.memory import SHAPES, TUPLES, Kind, flow_items
from natlb.io import shared
from natlb.io.shared import HEADER, MAGIC, attach, create, create_flows, create_tables, seal, touch
from tests.datapath import engine

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = bytes(range(12))
ITEMS: dict[Kind, dict[str, int]] = {
    Kind.FLOWS: flow_items(10),
    Kind.COUNTERS: {},
    Kind.TABLES: {
        "endpoints": 16,
        "services": 2,
        "backends": 3,
        "choices": 6,
        "rings": 4,
        "timeouts": 2,
        "ways": 2,
        "access": 3,
        "sources": 2,
    },
    Kind.COMMANDS: {},
    Kind.EVENTS: {},
    Kind.NEXT_HOPS: {"links": 2, "routes": 4, "neighbours": 8, "answered": 3, "vlans": 1},
    Kind.LOADS: {"backends": 2, "opening": 2, "services": 2},
}


@pytest.fixture
def keep() -> Iterator[Any]:
    """Return a function that keeps a descriptor and closes it at the end."""
    kept: list[int] = []

    def keep_one(fd: int) -> int:
        kept.append(fd)
        return fd

    yield keep_one
    for fd in kept:
        os.close(fd)


@pytest.mark.parametrize("kind", list(Kind))
def test_what_one_process_writes_another_reads(kind: Kind, keep: Any) -> None:
    """Two mappings of one descriptor, by the names of their tuple."""
    fd = keep(create(kind, **ITEMS[kind]))
    ours, theirs = attach(kind, fd), attach(kind, fd, writable=False)

    assert type(theirs) is TUPLES[kind]
    for number, (mine, other, shape) in enumerate(zip(ours, theirs, SHAPES[kind], strict=True)):
        assert not other.view(np.uint8).any()
        mine.view(np.uint8)[...] = number + 1
        assert (other.view(np.uint8) == number + 1).all()
        assert other.dtype == shape.dtype
        assert other.shape[1:] == shape.shape[1:]
        assert mine.__array_interface__["data"][0] % shared.ALIGNMENT == 0
        with pytest.raises(ValueError, match="read-only"):
            other[0] = mine[0]


def test_a_flow_table_begins_with_its_numbers(keep: Any) -> None:
    """As long as it was asked for."""
    flows = attach(Kind.FLOWS, keep(create_flows(100, SECRET, 77)))

    assert flows.rows.size == 101
    assert int(flows.meta[ROWS]) == 100
    assert int(flows.meta[EPOCH]) == 77


@pytest.mark.parametrize("size", [0, -1, MOST_FLOWS + 1])
def test_a_table_that_the_index_cannot_name_is_refused(size: int) -> None:
    """An entry has 24 bits for a row's number."""
    with pytest.raises(ValueError, match=r"is not in 1\.\."):
        create_flows(size, SECRET, 0)


def test_tables_are_sealed_against_everything(keep: Any) -> None:
    """Who reads a generation reads that generation."""
    tables = engine()._core.tables
    fd = keep(create_tables(tables))
    read = attach(Kind.TABLES, fd, writable=False)

    for ours, theirs in zip(tables, read, strict=True):
        assert (ours == theirs).all()
    for change in (
        lambda: os.pwrite(fd, b"x", 0),
        lambda: os.ftruncate(fd, 100),
        lambda: os.ftruncate(fd, 1 << 20),
        lambda: attach(Kind.TABLES, fd),
        lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0),
    ):
        with pytest.raises(PermissionError):
            change()


@pytest.mark.parametrize("kind", list(Kind))
def test_no_memory_changes_its_size(kind: Kind, keep: Any) -> None:
    """A mapping that is cut off kills whoever reads on (SIGBUS)."""
    fd = keep(create(kind, **ITEMS[kind]))
    for size in (0, os.fstat(fd).st_size - 1, os.fstat(fd).st_size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    memory = attach(kind, fd)
    memory[0].view(np.uint8)[0] = 5

    assert attach(kind, fd)[0].view(np.uint8).reshape(-1)[0] == 5


def test_memory_cannot_be_sealed_under_a_writer(keep: Any) -> None:
    """Who could still write would break the promise."""
    fd = keep(create(Kind.COMMANDS))
    held = attach(Kind.COMMANDS, fd)
    with pytest.raises(OSError, match="busy"):
        seal(fd)
    assert held.counts.flags.writeable


def test_descriptors_are_closed_in_children(keep: Any) -> None:
    """What a child needs is passed on by name."""
    assert not os.get_inheritable(keep(create(Kind.COMMANDS)))


def forged(keep: Any, octets: bytes) -> int:
    """Return a memfd with any content."""
    fd = keep(os.memfd_create("forged"))
    os.write(fd, octets)
    return int(fd)


def whole(keep: Any, kind: Kind = Kind.FLOWS) -> bytes:
    """Return a sound memory's octets."""
    fd = keep(create(kind, **ITEMS[kind]))
    return os.pread(fd, os.fstat(fd).st_size, 0)


@pytest.mark.parametrize("length", [0, 1, HEADER.itemsize - 1, HEADER.itemsize, 4096])
def test_memory_cut_short_is_refused(length: int, keep: Any) -> None:
    """The header says where each array lies; there must be so much."""
    octets = whole(keep)
    assert length < len(octets)

    with pytest.raises(ValueError, match=r"are no flows memory|does not lie where"):
        attach(Kind.FLOWS, forged(keep, octets[:length]))
    assert attach(Kind.FLOWS, forged(keep, octets)).rows.size == 11


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("magic", 0),
        ("magic", MAGIC + 1),
        ("kind", int(Kind.TABLES)),
        ("version", LAYOUT_VERSION + 1),
        ("version", 0),
        ("arrays", 2),
        ("arrays", 99),
    ],
)
def test_memory_of_another_kind_or_version_is_refused(field: str, value: int, keep: Any) -> None:
    """State is never misread: an upgrade finds old memory, and says what it found."""
    octets = bytearray(whole(keep))
    header = np.frombuffer(octets, np.uint8)[: HEADER.itemsize].view(HEADER)
    header[field] = value

    with pytest.raises(ValueError, match="expected"):
        attach(Kind.FLOWS, forged(keep, bytes(octets)))


@pytest.mark.parametrize(
    ("field", "at", "value"),
    [
        ("offset", 0, -64),
        ("offset", 1, 1 << 40),
        ("offset", 1, 8),
        ("items", 0, -1),
        ("items", 0, 1 << 60),
        ("items", 2, 15),
        ("item_bytes", 0, 191),
        ("item_bytes", 1, 0),
    ],
)
def test_arrays_that_do_not_fit_are_refused(field: str, at: int, value: int, keep: Any) -> None:
    """Before any of it is read."""
    octets = bytearray(whole(keep))
    header = np.frombuffer(octets, np.uint8)[: HEADER.itemsize].view(HEADER)
    header[field][0, at] = value

    with pytest.raises(ValueError, match="does not lie where the header says"):
        attach(Kind.FLOWS, forged(keep, bytes(octets)))


def test_touching_a_table_changes_nothing_in_it(keep: Any) -> None:
    """It has the kernel give the pages, each once."""
    fd = keep(create_flows(5000, SECRET, 0))
    flows = attach(Kind.FLOWS, fd)
    flows.rows.view(np.uint8)[:] = 7
    flows.buckets[:] = 9
    before = os.fstat(fd).st_blocks
    touch(flows)

    assert (flows.rows.view(np.uint8) == 7).all()
    assert (flows.buckets == 9).all()
    assert os.fstat(fd).st_blocks == before
    fresh = keep(create_flows(5000, SECRET, 0))
    touch(attach(Kind.FLOWS, fresh))
    assert os.fstat(fresh).st_blocks * 512 >= 5000 * 192 // mmap.PAGESIZE * mmap.PAGESIZE


def test_every_kind_fits_into_the_header() -> None:
    """It has places for so many arrays."""
    assert all(len(shapes) <= shared.MOST_ARRAYS for shapes in SHAPES.values())
