"""What control may ask of the supervisor, and what it may not."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from natlb.control import log
from natlb.control.directory import take_lock
from natlb.control.loop import Loop
from natlb.control.memory import sealed_memfd
from natlb.control.messages import (
    Attach,
    Done,
    Failed,
    File,
    Hold,
    Listen,
    Logging,
    Message,
    OpenSocket,
    ReadFile,
    Refused,
    Want,
)
from natlb.control.roles import Role
from natlb.control.supervisor import Supervisor
from natlb.control.supervisor_control import open_file, read_failure
from natlb.errors import ConfigError
from tests.unit.control.fakes import MODULES, FakeHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Asked:
    """A supervisor whose control is the test."""

    pid = 12

    def __init__(self, folder: Path) -> None:
        """Begin nothing: no process is started."""
        self.folder = folder
        lock = take_lock(folder / "run")
        self.supervisor = Supervisor(lock, FakeHost(lock.journal), "/x.yaml", MODULES, Loop())
        self.supervisor.control.child = self  # type: ignore[assignment]
        self.said: list[Message] = []
        self.refused: list[str] = []

    def send(self, message: Message, *fds: int) -> None:
        """Be told something."""
        self.said.append(message)
        self.fds = [os.dup(fd) for fd in fds]

    def refuse(self, reason: str) -> None:
        """Be told that a message was refused."""
        self.refused.append(reason)

    def ask(self, message: Message, *fds: int) -> None:
        """Say something as control."""
        self.supervisor.control._receive(self, message, list(fds))  # type: ignore[arg-type]

    def close(self) -> None:
        """Let go."""
        self.supervisor.holdings.close()
        self.supervisor.lock.release()


@pytest.fixture
def asked(folder: Path) -> Iterator[Asked]:
    """Return a supervisor to ask."""
    made = Asked(folder)
    yield made
    made.close()


def test_a_wish_for_the_host_is_fulfilled_and_mirrored(asked: Asked) -> None:
    """The plan and both queues are held on both sides before the answer."""
    asked.ask(Want(serial=3), sealed_memfd("wanted", b"anything"))

    assert [type(message) for message in asked.said] == [Hold, Hold, Hold, Done]
    assert {message.role for message in asked.said if isinstance(message, Hold)} == {
        Role.HOST_PLAN,
        Role.QUEUE_PUBLIC,
        Role.QUEUE_PRIVATE,
    }


def test_a_wish_that_the_host_refuses_is_refused(asked: Asked) -> None:
    """With exit code, words and fix."""
    asked.ask(Want(serial=3), sealed_memfd("wanted", b"impossible"))

    assert asked.said == [Refused(serial=3, exit_code=78, text="the host cannot\0get another")]


def test_memory_that_could_change_under_the_reader_is_refused(asked: Asked) -> None:
    """A plan is checked once."""
    asked.ask(Want(serial=3), os.memfd_create("open"))
    (refused,) = asked.said

    assert isinstance(refused, Refused)
    assert "not sealed" in refused.text


def test_a_socket_is_made_once_and_belongs_to_both(asked: Asked) -> None:
    """A path that is taken is refused."""
    path = asked.folder / "api"
    asked.ask(Listen(serial=1, text=str(path)))
    asked.ask(Listen(serial=2, text=str(path)))

    assert [type(message) for message in asked.said] == [Hold, Hold, Hold, Done, Refused]
    assert path.is_socket()


def test_control_replaces_its_own_memory_and_nothing_else(asked: Asked) -> None:
    """Queues and listeners are the supervisor's."""
    asked.ask(Hold(role=Role.REGISTRY), os.memfd_create("mine"))
    asked.ask(Hold(role=Role.QUEUE_PUBLIC), fd := os.memfd_create("not mine"))
    asked.ask(Attach(index=0, takeover=0))

    assert (Role.REGISTRY, 0) in asked.supervisor.holdings
    assert (Role.QUEUE_PUBLIC, 0) not in asked.supervisor.holdings
    assert asked.refused == ["Hold is not control's to say", "Attach is not control's to say"]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_a_file_is_opened_for_control(asked: Asked) -> None:
    """It may lie where control's uid alone may not read."""
    path = asked.folder / "natlb.yaml"
    path.write_text("services")
    asked.ask(ReadFile(serial=1, text=str(path)))
    assert asked.said == [File(serial=1)]
    assert os.read(asked.fds[0], 100) == b"services"
    os.close(asked.fds[0])
    asked.ask(ReadFile(serial=2, text=str(asked.folder)))

    assert isinstance(asked.said[1], Refused)
    assert asked.said[1].exit_code == 65


def test_control_says_how_to_log(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    """The configuration is its to read."""
    asked.ask(Logging(level=log.LEVELS["error"], json=1))
    asked.supervisor.count_death("x", asked, None, asked.supervisor.control._backoff)  # type: ignore[arg-type]

    assert "child_died" not in capsys.readouterr().err


def test_a_failure_before_the_start_ends_the_supervisor_with_it(asked: Asked) -> None:
    """Exit code and words are control's."""
    asked.ask(Failed(exit_code=65), sealed_memfd("failure", b"bad file\0natlb validate"))
    with pytest.raises(ConfigError, match="bad file") as failed:
        asked.supervisor.serve()

    assert failed.value.fix == "natlb validate"


def test_a_failure_that_says_nothing_still_is_one() -> None:
    """A child may send anything."""
    reading, writing = os.pipe()
    error = read_failure(Failed(exit_code=65), [reading])

    assert isinstance(error, ConfigError)
    assert "left no word" in error.message
    os.close(reading)
    os.close(writing)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A pipe would block, a device do anything."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="cannot read"):
            open_file(path)


def test_a_socket_for_checks_is_made_and_no_other(asked: Asked) -> None:
    """TCP and UDP of both versions: a raw one is a right that control has not."""
    for family in (socket.AF_INET, socket.AF_INET6):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            asked.ask(OpenSocket(serial=7, family=family, type=kind))
            assert asked.said[-1] == File(serial=7)
            with socket.socket(fileno=asked.fds[0]) as made:
                assert (made.family, made.type) == (family, kind)
    for family, kind in (
        (socket.AF_INET, socket.SOCK_RAW),
        (socket.AF_PACKET, socket.SOCK_DGRAM),
        (socket.AF_UNIX, socket.SOCK_STREAM),
    ):
        asked.ask(OpenSocket(serial=8, family=family, type=kind))
        refused = asked.said[-1]
        assert isinstance(refused, Refused)
        assert (refused.serial, refused.exit_code) == (8, 77)
