"""The store as a manager has it after each change; whole deaths are in `test_supervisor`."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control import notify
from natlb.control.coding import encode
from natlb.control.fd_store import NEEDED_OF_EACH, FdStore, Stored, needed_places, take_passed_fds
from natlb.control.holdings import Holdings
from natlb.control.memory import sealed_memfd
from natlb.control.messages import (
    HandedOver,
    Hold,
)
from natlb.control.notify import Notifier
from natlb.control.roles import Role
from tests.service_manager import ServiceManager, is_same_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATE = "4.3.1"
STANDING = HandedOver(started_ns=5, level=20, json=0, compiled=1, pid=7, text="3")
NEEDED = needed_places(1)


@pytest.fixture
def manager(folder: Path) -> Iterator[ServiceManager]:
    """Return a manager that has heard nothing."""
    with ServiceManager(folder / "notify") as made:
        yield made


class Heard(Notifier):
    """Speaks to a manager that hears each word at once: the kernel lets no more than ten wait."""

    manager: ServiceManager | None = None

    def say(self, words: str, *fds: int) -> bool:
        """Say it, and have it heard."""
        is_taken = super().say(words, *fds)
        if self.manager is not None:
            self.manager.hear()
        return is_taken


@pytest.fixture
def notifier(manager: ServiceManager) -> Iterator[Notifier]:
    """Return a conversation with it."""
    made = Heard(manager.address)
    made.manager = manager
    yield made
    made.close()


@pytest.fixture
def holdings() -> Iterator[Holdings]:
    """Return all that a successor needs."""
    made = Holdings()
    for role, index in sorted(NEEDED):
        made.take(Hold(role=role, index=index), _fd_of(role))
    yield made
    made.close()


def _fd_of(role: Role) -> int:
    if role is Role.STANDING:
        return sealed_memfd("standing", encode(STANDING))
    if role is Role.API_LISTENER:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind("")
        listening.listen()
        return listening.detach()
    if role in {Role.QUEUE_PUBLIC, Role.QUEUE_PRIVATE}:
        return os.open("/dev/null", os.O_RDWR)  # a device: its node says nothing of the open file
    return os.memfd_create(role.name)


def stored(manager: ServiceManager) -> list[tuple[Role, int, int]]:
    """Return what is in the store: role, index, value."""
    parsed = [Stored.parse(name) for name in manager.hear().store]
    return sorted((each.said.role, each.said.index, each.said.value) for each in parsed if each)


def passed(manager: ServiceManager) -> list[tuple[str, int]]:
    """Return what the next process finds."""
    return [(name, os.dup(fd)) for name, fd in manager.hear().store.items()]


def test_what_is_held_is_stored_and_follows(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings
) -> None:
    """Replaced, released and duplicated; never twice, never none."""
    store = FdStore(notifier, STATE)
    store.follow(holdings)
    assert stored(manager) == sorted((role, index, 0) for role, index in NEEDED)

    holdings.take(Hold(role=Role.TABLES, value=2), os.memfd_create("tables"))
    holdings.take(Hold(role=Role.LIFE_CHANNEL, value=9, stamp=8), os.memfd_create("life"))
    store.follow(holdings)
    assert (Role.TABLES, 0, 2) in stored(manager)
    assert len(manager.store) == len(NEEDED) + 1

    holdings.release(Role.LIFE_CHANNEL)
    store.follow(holdings)
    assert len(stored(manager)) == len(NEEDED)

    store.clear()
    assert stored(manager) == []


@pytest.mark.parametrize("value", [0, 6], ids=["as before", "said anew"])
def test_a_duplicate_stays_in_the_store(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings, value: int
) -> None:
    """The manager takes an open file once: removed after that, it would be lost."""
    store = FdStore(notifier, STATE)
    store.follow(holdings)
    manager.hear()
    for role in (Role.FLOWS, Role.QUEUE_PUBLIC):
        held = holdings.get(role)
        assert held is not None
        holdings.take(Hold(role=role, value=value), os.dup(held.fd))
    store.follow(holdings)

    manager.hear()
    assert len(manager.store) == len(NEEDED)
    held = holdings.get(Role.FLOWS)
    assert held is not None
    assert any(is_same_file(held.fd, fd) for fd in manager.store.values())


def test_another_queue_of_the_same_device_is_another(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings
) -> None:
    """A TUN device made anew has the same node."""
    store = FdStore(notifier, STATE)
    store.follow(holdings)
    manager.hear()
    holdings.take(Hold(role=Role.QUEUE_PUBLIC), os.open("/dev/null", os.O_RDWR))
    store.follow(holdings)

    held = holdings.get(Role.QUEUE_PUBLIC)
    assert held is not None
    manager.hear()
    assert any(is_same_file(held.fd, fd) for fd in manager.store.values())
    assert len(manager.store) == len(NEEDED)


def test_the_next_one_finds_everything_and_goes_on(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings
) -> None:
    """With what the last one knew; nothing is stored twice."""
    FdStore(notifier, STATE).follow(holdings)
    store, found = FdStore(notifier, STATE, passed(manager)), Holdings()
    said = store.recover(found)
    before = list(manager.hear().store)
    store.follow(found)
    found.take(Hold(role=Role.TABLES, value=3), os.memfd_create("tables"))
    store.follow(found)
    names = {(role, index) for role, index, _ in stored(manager)}
    found.close()

    assert said == STANDING
    assert names == NEEDED
    assert len(set(before) - set(manager.store)) == 1


def test_of_two_of_a_kind_the_later_counts(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings
) -> None:
    """A death came between the two words."""
    FdStore(notifier, STATE).follow(holdings)
    manager.hear()
    late = Stored(said=Hold(role=Role.TABLES, value=8), state=STATE, serial=99)
    manager.store[late.name] = os.memfd_create("late")
    store, found = FdStore(notifier, STATE, passed(manager)), Holdings()
    assert store.recover(found) == STANDING
    tables = found.get(Role.TABLES)
    found.close()

    assert tables is not None
    assert tables.value == 8
    assert len(stored(manager)) == len(NEEDED)


@pytest.mark.parametrize("missing", sorted(NEEDED), ids=lambda place: f"{place[0].name} {place[1]}")
def test_what_is_not_whole_is_not_believed(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings, missing: tuple[Role, int]
) -> None:
    """The store is empty then, and nothing listens any more where a successor wants to."""
    FdStore(notifier, STATE).follow(holdings)
    manager.hear()
    (lost,) = [
        name
        for name in manager.store
        if (held := Stored.parse(name)) and (held.said.role, held.said.index) == missing
    ]
    os.close(manager.store.pop(lost))
    listener = holdings.get(Role.API_LISTENER)
    assert listener is not None
    found = Holdings()
    assert FdStore(notifier, STATE, passed(manager)).recover(found) is None

    assert (len(found), stored(manager)) == (0, [])
    if missing[0] is not Role.API_LISTENER:
        listening = socket.socket(fileno=os.dup(listener.fd))
        name = listening.getsockname()
        listening.close()
        with socket.socket(socket.AF_UNIX) as caller, pytest.raises(ConnectionRefusedError):
            caller.connect(name)


def test_another_layout_is_refused_and_forgotten(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings
) -> None:
    """All are dead: nothing living is in the way of a new beginning."""
    FdStore(notifier, "3.1.1").follow(holdings)
    found = Holdings()
    assert FdStore(notifier, STATE, passed(manager)).recover(found) is None
    assert (len(found), stored(manager)) == (0, [])


@pytest.mark.parametrize("content", [None, b"nonsense"], ids=["not sealed", "no message"])
def test_what_the_last_one_knew_must_be_readable(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings, content: bytes | None
) -> None:
    """An fd is not trusted for its name."""
    fd = os.memfd_create("x") if content is None else sealed_memfd("x", content)
    holdings.take(Hold(role=Role.STANDING), fd)
    FdStore(notifier, STATE).follow(holdings)
    assert FdStore(notifier, STATE, passed(manager)).recover(Holdings()) is None


def test_who_lives_is_believed_and_the_store_begins_anew(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings
) -> None:
    """The living's listeners go on listening."""
    FdStore(notifier, STATE).follow(holdings)
    store = FdStore(notifier, STATE, passed(manager))
    store.forget_passed()
    assert stored(manager) == []
    store.follow(holdings)
    assert len(stored(manager)) == len(NEEDED)
    listener = holdings.get(Role.API_LISTENER)
    assert listener is not None
    with (
        socket.socket(fileno=os.dup(listener.fd)) as listening,
        socket.socket(socket.AF_UNIX) as caller,
    ):
        caller.connect(listening.getsockname())


def test_what_the_manager_does_not_take_is_said_again(
    folder: Path, holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be restarting."""
    monkeypatch.setattr(notify, "SECONDS_DEAF", 0.0)
    notifier = Heard(str(folder / "notify"))
    store = FdStore(notifier, STATE)
    store.follow(holdings)
    with ServiceManager(folder / "notify") as manager:
        notifier.manager = manager
        store.follow(holdings)
        assert len(stored(manager)) == len(NEEDED)
        notifier.manager = None
    store.clear()
    with ServiceManager(folder / "again"):
        store.follow(holdings)
    notifier.close()


def test_a_socket_for_handing_over_is_not_stored(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings
) -> None:
    """Whoever asked there would wait for an answer that nobody gives."""
    holdings.take(Hold(role=Role.HANDOVER_LISTENER), os.memfd_create("listening"))
    FdStore(notifier, STATE).follow(holdings)
    assert len(stored(manager)) == len(NEEDED)


def test_without_a_manager_nothing_is_stored(holdings: Holdings) -> None:
    """Nor looked at."""
    store = FdStore(Notifier(), STATE)
    store.follow(holdings)
    store.clear()
    assert store.recover(Holdings()) is None


@given(
    st.sampled_from(Role),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
)
def test_a_name_says_all_that_a_hold_does(role: Role, index: int, value: int, stamp: int) -> None:
    """Within what a manager takes for a name."""
    said = Hold(role=role, index=index, value=value, stamp=stamp)
    each = Stored(said=said, state=STATE, serial=2**40)

    assert Stored.parse(each.name) == each
    assert len(each.name) <= 255
    assert each.name.isascii()
    assert each.name.isprintable()
    assert ":" not in each.name


@pytest.mark.parametrize(
    "name",
    ["", "stored", "natlb", "natlb-4-99-0-0-0-1", "natlb-4-3-0-x-0-1", "other-4-3-0-0-0-1"],
)
def test_other_names_are_nobodys(name: str) -> None:
    """An fd of a socket unit, say."""
    assert Stored.parse(name) is None


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "0", "LISTEN_PID": "ours"},
        {"LISTEN_FDS": "x", "LISTEN_PID": "ours"},
        {"LISTEN_FDS": "1"},
    ],
)
def test_fds_for_others_are_not_taken(environment: dict[str, str]) -> None:
    """And the variables do not reach a child."""
    ours = str(os.getpid())
    words = {key: ours if word == "ours" else word for key, word in environment.items()}
    assert take_passed_fds(words) == []
    assert words == {}


def test_what_lacks_a_worker_is_not_whole(
    manager: ServiceManager, notifier: Notifier, holdings: Holdings
) -> None:
    """How many there were is known to who stored them."""
    assert needed_places(2) - NEEDED == {(role, 1) for role in NEEDED_OF_EACH}
    two = encode(replace(STANDING, text="3 0"))
    holdings.take(Hold(role=Role.STANDING), sealed_memfd("standing", two))
    FdStore(notifier, STATE).follow(holdings)
    store, found = FdStore(notifier, STATE, passed(manager)), Holdings()

    assert store.recover(found) is None
    assert len(found) == 0
