"""The registry, stopped at every octet."""

import json
import os

import pytest

from natlb.control.memory import write_all
from natlb.control.registry import (
    FIRST_COPY,
    HEADER,
    LAYOUT,
    MAGIC,
    SMALLEST,
    BackendPlace,
    PolicyMemory,
    Record,
    Registry,
    RegistryError,
    RuntimeChange,
    _digest,
)


def record(generation: int, text: str = "services: {}") -> Record:
    """Return a record with something in every field."""
    change = RuntimeChange(
        service="web", name="b1", state="draining", weight=None, health="unknown", began_ms=77
    )
    memory = PolicyMemory(service="web", policy="anchor", memory={"removed": ["b2", "b1"]})
    return Record(
        generation=generation,
        seed=9,
        started_ns=5,
        config_path="/etc/natlb/ä\udcff.yaml",
        config_text=text,
        services={"web": 0, "dns": 1},
        backends=(BackendPlace(index=3, service="web", name="b1"),),
        changes=(change,),
        memories=(memory,),
        retired_vips=("203.0.113.10",),
    )


def test_a_record_reads_back_in_another_process() -> None:
    """All that a new control has is the fd."""
    registry = Registry.create()
    registry.write(record(1))

    assert Registry(os.dup(registry.fd)).read() == record(1)


def test_records_of_other_versions_are_read_as_far_as_they_are_known() -> None:
    """An older one has no arrivals and no memories; a newer one may have more of everything."""
    stored = json.loads(record(1).to_octets())
    del stored["memories"], stored["changes"][0]["began_ms"]
    older = Record.from_octets(json.dumps(stored).encode())
    stored["colour"] = stored["changes"][0]["colour"] = stored["backends"][0]["colour"] = "red"

    assert (older.memories, older.changes[0].began_ms) == ((), None)
    assert older.changes[0].state == "draining"
    assert Record.from_octets(json.dumps(stored).encode()) == older


def test_the_newest_record_is_read() -> None:
    """Copies alternate; the higher number counts."""
    registry = Registry.create()
    for generation in range(1, 6):
        registry.write(record(generation))

        assert Registry(os.dup(registry.fd)).read() == record(generation)


def test_a_writer_that_takes_over_writes_over_the_older_copy() -> None:
    """The number goes on where the dead one stopped."""
    first = Registry.create()
    first.write(record(1))
    second = Registry(os.dup(first.fd))
    second.write(record(2))
    second.write(record(3))

    assert Registry(os.dup(first.fd)).read() == record(3)


def test_a_write_cut_at_any_octet_leaves_the_old_record_or_the_new() -> None:
    """Killed at any instant also means between two octets."""
    for cut in range(sum(len(octets) for _, octets in _stores())):
        registry = Registry.create()
        registry.write(record(1))
        registry.write(record(2))
        _write_some(registry, cut)

        assert Registry(os.dup(registry.fd)).read() == record(2)
        registry.close()


def test_a_cut_write_does_not_hinder_the_next() -> None:
    """Control died in a write; the next control writes on."""
    registry = Registry.create()
    registry.write(record(1))
    _write_some(registry, 20)
    successor = Registry(os.dup(registry.fd))
    successor.write(record(7))

    assert Registry(os.dup(registry.fd)).read() == record(7)


def _stores() -> list[tuple[int, bytes]]:
    registry = Registry.create()
    registry.write(record(1))
    registry.write(record(2))
    return list(registry.stores(record(3, "services: {changed: true}").to_octets()))


def _write_some(registry: Registry, octets: int) -> None:
    """Do the stores of a write, but only so many octets of them."""
    content = record(3, "services: {changed: true}").to_octets()
    for place, store in registry.stores(content):
        write_all(registry.fd, store[:octets], place)
        octets -= len(store)
        if octets <= 0:
            return


def test_any_octet_changed_in_the_newest_copy_gives_the_one_before() -> None:
    """The digest covers number, length and content."""
    registry = Registry.create()
    registry.write(record(1))
    registry.write(record(2))
    length = len(record(2).to_octets())
    for at in (0, 7, 8, 15, 16, 31, 32, 32 + length // 2, 31 + length):
        spot = FIRST_COPY + at  # number 2 is even: copy 0
        before = os.pread(registry.fd, 1, spot)
        os.pwrite(registry.fd, bytes([before[0] ^ 1]), spot)

        assert Registry(os.dup(registry.fd)).read() == record(1)
        os.pwrite(registry.fd, before, spot)


def test_a_record_that_does_not_fit_moves_to_a_larger_registry() -> None:
    """A configuration may grow at run time."""
    registry = Registry.create()
    large = record(2, "x" * (SMALLEST * 3))
    registry.write(record(1))

    assert registry.fits(record(1))
    assert not registry.fits(large)
    with pytest.raises(RegistryError, match="exceeds"):
        registry.write(large)
    assert registry.read() == record(1)
    larger = registry.grown_for(large)
    assert Registry(os.dup(larger.fd)).read() == large


def test_an_empty_registry_has_no_record() -> None:
    """Control died before its first record."""
    with pytest.raises(RegistryError, match="neither copy"):
        Registry.create().read()


def test_what_is_no_registry_is_refused() -> None:
    """An fd from elsewhere, or of another layout."""
    fd = os.memfd_create("test")
    with pytest.raises(RegistryError, match="not a registry"):
        Registry(fd)
    good = Registry.create()
    os.ftruncate(good.fd, FIRST_COPY)
    with pytest.raises(RegistryError, match="wrong size"):
        Registry(good.fd)


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """Going back to the version before must not lose the drained backends."""
    octets = record(4).to_octets().replace(b'{"generation"', b'{"invented":1,"generation"')

    assert Record.from_octets(octets) == record(4)


def test_a_registry_of_another_layout_is_refused() -> None:
    """It may mean something else by the same octets."""
    registry = Registry.create()
    head = HEADER.pack(MAGIC, LAYOUT + 1, 0, SMALLEST, bytes(16))[:-16]
    os.pwrite(registry.fd, head + _digest(head), 0)

    with pytest.raises(RegistryError, match=f"layout {LAYOUT + 1}, not {LAYOUT}"):
        Registry(registry.fd)


def test_there_is_an_end_to_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of gibibytes is nobody's honest wish."""
    monkeypatch.setattr("natlb.control.registry.LARGEST", SMALLEST)

    with pytest.raises(RegistryError, match="too large"):
        Registry.create().grown_for(record(1, "x" * SMALLEST))
