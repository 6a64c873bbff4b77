"""Sockets in the file system."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from natlb.control.listener import (
    api_listener,
    handover_listener,
    is_answered,
    peer_credentials,
    tcp_listener,
)
from natlb.errors import BusyError, HostError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_api_is_for_owner_and_group_and_the_handover_for_the_owner(folder: Path) -> None:
    """Whoever may open the one may change the balancer; whoever the other, have its fds."""
    api, handover = api_listener(folder / "api"), handover_listener(folder / "handover")

    assert (folder / "api").stat().st_mode & 0o777 == 0o660
    assert (folder / "handover").stat().st_mode & 0o777 == 0o600
    api.close()
    handover.close()


def test_a_socket_in_use_is_refused_with_its_holder(folder: Path) -> None:
    """The other goes on listening."""
    first = api_listener(folder / "api")

    with pytest.raises(BusyError, match=f"process {os.getpid()} listens there"):
        api_listener(folder / "api")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "api"))
        assert peer_credentials(client) == (os.getpid(), os.getuid(), os.getgid())
    first.close()


def test_a_socket_that_nobody_listens_behind_is_replaced(folder: Path) -> None:
    """A crash leaves the file."""
    api_listener(folder / "api").close()
    again = api_listener(folder / "api")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "api"))
    again.close()


def test_a_file_that_is_no_socket_is_left_alone(folder: Path) -> None:
    """A path in a configuration may be a slip."""
    (folder / "api").write_text("precious")

    with pytest.raises(HostError, match="a file is there that is no socket"):
        api_listener(folder / "api")
    assert (folder / "api").read_text() == "precious"


def test_a_path_that_cannot_be_is_said(folder: Path) -> None:
    """No such directory, or too long for the kernel."""
    with pytest.raises(HostError, match="cannot listen at"):
        api_listener(folder / "nowhere" / "api")
    with pytest.raises(HostError, match="cannot listen at"):
        api_listener(folder / ("x" * 120))


@pytest.mark.parametrize(("host", "words"), [("127.0.0.1", "127.0.0.1"), ("::1", r"\[::1\]")])
def test_a_door_by_tcp_is_opened_once(host: str, words: str) -> None:
    """Who has the port already keeps it, and the place is said as it is written."""
    listening = tcp_listener(host, 0)
    port = listening.getsockname()[1]
    with socket.create_connection((host, port)) as client:
        assert client.getpeername()[:2] == (host, port)
    with pytest.raises(HostError, match=f"cannot listen at tcp://{words}:{port}: Address already"):
        tcp_listener(host, port)
    listening.close()


def test_a_door_by_tcp_is_opened_again_at_once() -> None:
    """Connections that were closed lately do not hold the port."""
    listening = tcp_listener("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = listening.accept()
        accepted.close()  # first, so that the port is left waiting at this end
        assert client.recv(1) == b""
    listening.close()

    tcp_listener("127.0.0.1", port).close()


def test_an_address_that_is_not_here_is_said() -> None:
    """TEST-NET-1 is nobody's."""
    with pytest.raises(HostError, match=r"tcp://192\.0\.2\.1:9000: Cannot"):
        tcp_listener("192.0.2.1", 9000)


def test_whether_somebody_listens_is_known(folder: Path) -> None:
    """A file that a crash left is nobody's, and what is no socket neither."""
    listening = api_listener(folder / "api")
    assert is_answered(folder / "api")
    listening.close()
    assert not is_answered(folder / "api")
    assert not is_answered(folder / "nowhere")
    (folder / "file").write_text("")
    assert not is_answered(folder / "file")
