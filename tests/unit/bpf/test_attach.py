from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest

from natlb.bpf.attach import (
    attach_filter,
    attach_tun_steering,
    explain_filter,
    join_fanout,
    steer_fanout,
)
from natlb.bpf.classic import Code, Instruction, assemble
from natlb.bpf.filters import private_filter, public_filter
from natlb.bpf.steering import fanout_program
from natlb.errors import DeniedError, HostError
from tests.bpf_packets import BACKENDS, SOURCES, VIPS

if TYPE_CHECKING:
    from collections.abc import Iterator


def keep(octets: int) -> bytes:
    """Return the filter that keeps so many octets of every packet."""
    code = Code()
    code.do("ret", octets)
    lines = [item for item in code.items if isinstance(item, Instruction)]
    return assemble(lines, what="", fix="")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return two datagram sockets joined: a filter works on any socket."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        other.settimeout(20)
        yield one, other


def test_a_filter_lets_in_what_it_accepts(pair: tuple[socket.socket, socket.socket]) -> None:
    """And takes the place of the one before at once."""
    one, other = pair
    attach_filter(other.fileno(), keep(3))
    one.send(b"abcdef")
    attach_filter(other.fileno(), keep(100))
    one.send(b"abcdef")

    assert [other.recv(100), other.recv(100)] == [b"abc", b"abcdef"]
    assert other.fileno() >= 0, "the socket stays its owner's"


@pytest.mark.parametrize(
    "program",
    [
        public_filter(VIPS, VIPS),
        private_filter(BACKENDS, VIPS, SOURCES, VIPS),
        fanout_program(0, 2, VIPS, SOURCES),
        fanout_program(1, 16, VIPS, SOURCES),
    ],
    ids=["public", "private", "fanout-public", "fanout-private"],
)
def test_the_kernel_takes_natlbs_programs(
    pair: tuple[socket.socket, socket.socket], program: bytes
) -> None:
    """It looks at every instruction, and that no memory is read that was not written."""
    attach_filter(pair[1].fileno(), program)
    pair[0].send(b"not a frame")
    pair[1].setblocking(False)

    with pytest.raises(BlockingIOError):
        pair[1].recv(100)


def test_a_program_that_the_kernel_refuses_is_an_error(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """It says which call failed, and what to use instead."""
    with pytest.raises(
        HostError, match=r"SO_ATTACH_FILTER\) of 1 instructions failed: EINVAL"
    ) as e:
        attach_filter(pair[1].fileno(), b"\xff" * 8)

    assert e.value.fix == "driver: tun"


def test_reasons_of_a_refused_filter_have_their_mend() -> None:
    """Long programs meet the limit of a socket's options first, on kernels before 6.7."""
    memory = explain_filter(errno.ENOMEM, 8 * 4000)

    assert "4,000 instructions" in memory.message
    assert "net.core.optmem_max" in str(memory.fix)
    assert isinstance(explain_filter(errno.EPERM, 8), DeniedError)


def test_a_socket_that_is_no_packet_socket_joins_no_group(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """It says which call failed."""
    with pytest.raises(HostError, match=r"PACKET_FANOUT\) for group 7 failed: E(OP)?NOTSUPP?"):
        join_fanout(pair[0].fileno(), 7, keep(0))
    with pytest.raises(HostError, match=r"PACKET_FANOUT_DATA\) failed: E(OP)?NOTSUPP?"):
        steer_fanout(pair[0].fileno(), keep(0))


def test_what_is_no_tun_device_takes_no_steering(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """It says which call failed."""
    with pytest.raises(HostError, match=r"TUNSETSTEERINGEBPF\) failed: ENOTTY"):
        attach_tun_steering(pair[0].fileno(), -1)
