"""Control's conversation with its supervisor."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from natlb.control.channel import Channel, close_all
from natlb.control.failure import error_text
from natlb.control.link import SupervisorLink
from natlb.control.messages import (
    Done,
    File,
    HandedOver,
    Hold,
    Leave,
    Message,
    OpenSocket,
    Processes,
    ReadFile,
    Refused,
    Release,
    Reload,
    Start,
    Told,
    Want,
)
from natlb.control.roles import Role
from natlb.errors import BusyError, UnavailableError
from tests.unit.control.instances import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


NULL = Path("/dev/null").stat().st_rdev


class Ear:
    """Writes down what it is told (link.Listener)."""

    def __init__(self) -> None:
        """Know nothing."""
        self.heard: list[object] = []

    def started(self, said: Start) -> None:
        """Write it down."""
        self.heard.append(said)

    def held(self, role: Role, index: int) -> None:
        """Write it down."""
        self.heard.append(("held", role, index))

    def released(self, role: Role, index: int) -> None:
        """Write it down."""
        self.heard.append(("released", role, index))

    def reload_wanted(self, path: str) -> None:
        """Write it down."""
        self.heard.append(("reload", path))

    def processes_known(self, said: Processes) -> None:
        """Write it down."""
        self.heard.append(said)

    def leave_wanted(self) -> None:
        """Write it down."""
        self.heard.append("leave")

    def told(self, said: Told) -> None:
        """Write it down."""
        self.heard.append(said)

    def supervisor_lost(self) -> None:
        """Write it down."""
        self.heard.append("lost")

    def handed_over(self) -> HandedOver:
        """Return anything."""
        return HandedOver(started_ns=1, level=20, json=0, compiled=1, pid=os.getpid(), text="0")

    def adopted(self) -> None:
        """Write it down."""
        self.heard.append("adopted")


class Talk:
    """A link, and its far end."""

    def __init__(self) -> None:
        """Connect them."""
        self.far, near = Channel.pair()
        self.ear = Ear()
        self.link = SupervisorLink(near, self.ear)

    async def hear(self) -> tuple[Message, list[int]]:
        """Return what the link said."""

        def receive() -> tuple[Message, list[int]] | None:
            try:
                return self.far.receive()
            except BlockingIOError:
                return None

        received: tuple[Message, list[int]] = await eventually(receive)
        return received


def talking(test: Callable[[Talk], Awaitable[None]]) -> Callable[[], None]:
    """Run a test over a link."""

    def run() -> None:
        async def live() -> None:
            talk = Talk()
            try:
                await test(talk)
            finally:
                talk.far.close()
                await asyncio.sleep(0)
                if talk.link.is_up:
                    talk.link._lose()
                talk.link.holdings.close()

        asyncio.run(live())

    run.__doc__ = test.__doc__
    return run


@talking
async def test_each_request_gets_its_own_answer(talk: Talk) -> None:
    """In whatever order they come."""
    memfd = os.memfd_create("wanted")
    want = asyncio.ensure_future(talk.link.want(memfd))
    file = asyncio.ensure_future(talk.link.open_file("/etc/natlb.yaml"))
    (first, fds), (second, _) = await talk.hear(), await talk.hear()
    close_all([*fds, memfd])
    assert isinstance(first, Want)
    assert isinstance(second, ReadFile)
    opened = os.open("/dev/null", os.O_RDONLY)
    talk.far.send(File(serial=second.serial), opened)
    os.close(opened)
    talk.far.send(Done(serial=first.serial))
    await want

    got = await file
    assert os.fstat(got).st_rdev == NULL
    os.close(got)


@talking
async def test_a_refusal_is_the_supervisors_error(talk: Talk) -> None:
    """With its class, words and fix."""
    listen = asyncio.ensure_future(talk.link.listen("/run/x"))
    asked, _ = await talk.hear()
    text = error_text(BusyError("in use", fix="stop it"))
    talk.far.send(Refused(serial=asked.serial, exit_code=75, text=text))  # type: ignore[attr-defined]

    with pytest.raises(BusyError, match="in use") as refused:
        await listen
    assert refused.value.fix == "stop it"


@talking
async def test_requests_fail_with_their_supervisor(talk: Talk) -> None:
    """Those that wait and those to come; words are lost without an error."""
    listen = asyncio.ensure_future(talk.link.listen("/run/x"))
    await talk.hear()
    talk.far.close()
    with pytest.raises(UnavailableError, match="the supervisor is gone"):
        await listen
    with pytest.raises(UnavailableError):
        await talk.link.listen("/run/x")
    talk.link.tell(Leave())

    assert talk.ear.heard == ["lost", "leave"]  # it had nothing to keep yet


@talking
async def test_what_the_supervisor_says_is_passed_on(talk: Talk) -> None:
    """And fds are held before they are told of."""
    memfd = os.memfd_create("x")
    processes = Processes(index=0, ready=1, compiled=1, supervisor=1, worker=2, restarts=3)
    start = Start(fresh=1, started_ns=2, text="/etc/natlb.yaml")
    talk.far.send(Hold(role=Role.TABLES_CHANNEL, index=1), memfd)
    for message in (
        start,
        processes,
        Reload(text="/x"),
        Release(role=Role.TABLES_CHANNEL, index=1),
    ):
        talk.far.send(message)
    talk.far.send(Leave())
    os.close(memfd)
    await eventually(lambda: "leave" in talk.ear.heard)

    assert talk.ear.heard == [
        ("held", Role.TABLES_CHANNEL, 1),
        start,
        processes,
        ("reload", "/x"),
        ("released", Role.TABLES_CHANNEL, 1),
        "leave",
    ]
    assert list(talk.link.holdings) == []


@talking
async def test_control_that_was_not_given_everything_yet_ends_with_its_supervisor(
    talk: Talk,
) -> None:
    """What it could hand over would not be whole."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    talk.far.send(Hold(role=Role.HANDOVER_LISTENER), listening.fileno())
    listening.close()
    talk.far.close()
    await eventually(lambda: "lost" in talk.ear.heard)

    assert talk.ear.heard[-1] == "leave"
    stop_accepting(talk.link)


def let_succeed(talk: Talk) -> socket.socket:
    """Give the link a socket to be asked at by a next supervisor; return the next one's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind("")  # a name of the kernel's choice, and no file
        listening.listen()
        talk.far.send(Hold(role=Role.HANDOVER_LISTENER), listening.fileno())
        successor = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        successor.connect(listening.getsockname())
    return successor


def stop_accepting(link: SupervisorLink) -> None:
    """Close what an asyncio loop would warn of."""
    assert link._accepting is not None
    asyncio.get_running_loop().remove_reader(link._accepting.fileno())
    link._accepting.close()


@talking
async def test_what_a_dead_supervisor_said_last_is_handed_to_the_next(talk: Talk) -> None:
    """A worker that nobody told the next one of would be joined by a second over its memory."""
    start = Start(fresh=1, started_ns=2, text="/etc/natlb.yaml")
    successor = let_succeed(talk)
    talk.far.send(start)
    memfd = os.memfd_create("x")
    last = [Hold(role=role, value=7) for role in (Role.LIFE_CHANNEL, Role.TABLES_CHANNEL)]
    for each in last:
        talk.far.send(each, memfd)
    os.close(memfd)
    talk.far.close()
    talk.far = Channel(successor)  # asked at once: nothing of all this was heard yet
    said: list[Message] = []
    while not said or not isinstance(said[-1], HandedOver):
        message, fds = await talk.hear()
        close_all(fds)
        said.append(message)
    stop_accepting(talk.link)

    assert [each for each in said if each in last] == last
    assert talk.ear.heard[-2:] == ["lost", "adopted"]


@talking
async def test_a_control_that_was_not_given_everything_hands_nothing_over(talk: Talk) -> None:
    """It ends; its adopter would have to do all of it again."""
    successor = let_succeed(talk)
    talk.far.close()
    talk.far = Channel(successor)
    await eventually(lambda: "leave" in talk.ear.heard)
    received = await asyncio.get_running_loop().run_in_executor(None, end_of, successor)
    stop_accepting(talk.link)

    assert received == b""
    assert "adopted" not in talk.ear.heard


def end_of(successor: socket.socket) -> bytes:
    """Return what is said, which is nothing."""
    successor.settimeout(20)
    return successor.recv(1)


@talking
async def test_a_supervisor_that_dies_with_words_unread_is_a_loss_as_any(talk: Talk) -> None:
    """The kernel then says reset, and not end; what it said before is heard first."""
    talk.far.send(Start(fresh=1, started_ns=2, text="/etc/natlb.yaml"))
    await eventually(lambda: talk.ear.heard)
    talk.link.tell(Leave())
    talk.far.send(Reload(text="/x"))
    talk.far.close()
    await eventually(lambda: "lost" in talk.ear.heard)

    assert talk.ear.heard[1:] == [("reload", "/x"), "lost"]


@talking
async def test_nonsense_and_answers_to_nobody_are_dropped(talk: Talk) -> None:
    """And their fds closed."""
    opened = os.open("/dev/null", os.O_RDONLY)
    talk.far.end.send(b"nonsense")
    talk.far.send(Done(serial=99))
    talk.far.send(File(serial=99), opened)
    os.close(opened)
    talk.far.send(Refused(serial=99, exit_code=70, text=""))
    talk.far.send(Leave())
    await eventually(lambda: talk.ear.heard)

    assert talk.ear.heard == ["leave"]
    assert talk.link.is_up


@talking
async def test_a_socket_of_the_private_side_comes_from_the_supervisor(talk: Talk) -> None:
    """Control may not enter another namespace."""
    asking = asyncio.ensure_future(talk.link.open_socket(socket.AF_INET6, socket.SOCK_DGRAM))
    asked, _ = await talk.hear()
    assert asked == OpenSocket(serial=1, family=socket.AF_INET6, type=socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as made:
        talk.far.send(File(serial=1), made.fileno())

    with await asking as got:
        assert (got.family, got.type) == (socket.AF_INET6, socket.SOCK_DGRAM)


@talking
async def test_an_fd_that_nobody_waits_for_any_more_is_closed(talk: Talk) -> None:
    """A check whose time ran out as its socket came."""
    asking = asyncio.ensure_future(talk.link.open_socket(socket.AF_INET, socket.SOCK_STREAM))
    await talk.hear()
    made, other = socket.socketpair()
    fd = os.dup(made.fileno())
    made.close()
    talk.link._answer(1, fd)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    with other:
        assert other.recv(1) == b""
