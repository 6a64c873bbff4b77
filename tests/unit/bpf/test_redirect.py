from __future__ import annotations

import random
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from natlb.bpf import redirect
from natlb.bpf.redirect import GENERIC, NATIVE, Redirect, key_of, program_of
from natlb.bpf.system import ProgramKind, answer_to, keys, load_program
from natlb.errors import HostError
from tests.bpf_kernel import MACS, closing, frame_with, needs_bpf
from tests.bpf_packets import BACKENDS, SOURCES, VIPS, Case, cases, ip, ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from natlb.bpf.extended import Extended

WORKERS, QUEUES = 3, 2
PASS, WORKER = 2, 100
KERNELS = {"discovery", "arp", "nothing", "cut off"}
TAGS = (b"", b"\x81\x00\x00\x05", b"\x88\xa8\x20\x05")
CLIENT = ip_address("198.51.100.2")


@pytest.fixture(autouse=True)
def bpf() -> None:
    """Skip where this process may not load programs."""
    needs_bpf()


@pytest.fixture(params=[0, 1], ids=["public", "private"])
def side(request: pytest.FixtureRequest) -> int:
    """Return a side."""
    return int(request.param)


@pytest.fixture
def made(side: int) -> Iterator[Redirect]:
    """Return the program of a side, without sockets."""
    program = Redirect(side, WORKERS, QUEUES, VIPS, BACKENDS, SOURCES)
    yield program
    program.close()


def asked(made: Redirect, side: int) -> AbstractContextManager[int]:
    """Return the same program, which answers the worker and 100 instead of redirecting."""

    def end(program: Extended) -> None:
        program.do("add", 0, WORKER)
        program.exit()

    instructions = program_of(side, WORKERS, made._addresses, made._mac, end)
    return closing(load_program(ProgramKind.XDP, instructions, "natlb_test", fix=""))


def descriptors() -> int:
    """Return how many descriptors are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def expected(case: Case) -> int:
    """Return what the program should say of a packet."""
    return PASS if case.word in KERNELS else WORKER + case.worker(WORKERS)


def test_what_is_natlbs_finds_its_worker(made: Redirect, side: int) -> None:
    """As the core names it, tagged or not; all else is the kernel's."""
    with asked(made, side) as program:
        for case in cases(side, 3400):
            for tag in (b"", random.choice(TAGS)):
                found = answer_to(program, frame_with(case.packet, tag))

                assert found == expected(case), (case.word, case.packet.hex())


def test_what_is_not_natlbs_is_the_kernels(made: Redirect, side: int) -> None:
    """Also what would be natlb's on the other side."""
    stranger, backend, source = ip_address("198.51.100.9"), BACKENDS[0], SOURCES[0]
    others = [(CLIENT, stranger), (stranger, backend)]
    if side == 0:
        others += [(backend, CLIENT), (CLIENT, source)]
    with asked(made, side) as program:
        for pair in others:
            packet = ip(*pair, 6, ports(1, 2))

            assert answer_to(program, frame_with(packet)) == PASS
        called = ip(CLIENT, VIPS[0], 6, ports(1, 2))
        assert answer_to(program, frame_with(called, TAGS[1] + TAGS[1])) == PASS
        for length in range(14, 34):
            assert answer_to(program, frame_with(called)[:length]) == PASS


def test_without_a_socket_the_kernel_gets_the_packet(made: Redirect, side: int) -> None:
    """A worker that is gone has none: the redirect falls back by itself."""
    for case in cases(side, 30):
        assert answer_to(made.program_fd, frame_with(case.packet)) == PASS


def test_addresses_change_live(made: Redirect, side: int) -> None:
    """The program stays where it is."""
    vip = ip_address("203.0.113.99")
    old, new = (frame_with(ip(CLIENT, each, 6, ports(1, 2))) for each in (VIPS[0], vip))
    with asked(made, side) as program:
        assert answer_to(program, old) >= WORKER
        assert answer_to(program, new) == PASS
        made.set_addresses([vip], BACKENDS[:1], [])

        assert answer_to(program, old) == PASS
        assert answer_to(program, new) >= WORKER
    assert sorted(keys(made._addresses, 16)) == sorted(map(key_of, (vip, BACKENDS[0])))


def test_an_address_may_be_two_things() -> None:
    """A gateway whose VIP is a source address, too."""
    program = Redirect(1, 1, 1, VIPS[:1], [], VIPS[:1])
    assert keys(program._addresses, 16) == [key_of(VIPS[0])]
    program.close()


def test_more_addresses_than_the_map_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With both numbers, and nothing left open."""
    monkeypatch.setattr(redirect, "MOST_ADDRESSES", 4)
    before = descriptors()
    with pytest.raises(HostError, match=r"E2BIG: 9 addresses, and .* has room for 4") as caught:
        Redirect(0, 1, 1, [IPv4Address(number) for number in range(1 << 24, (1 << 24) + 9)], [], [])

    assert caught.value.fix == "driver: tun"
    assert descriptors() == before


def test_frames_to_groups_are_the_kernels(made: Redirect, side: int) -> None:
    """And frames to other hosts, once it is known which is this one."""
    packet = frame_with(ip(CLIENT, VIPS[0], 6, ports(1, 2)))
    to_group = b"\x01" + packet[1:]
    with asked(made, side) as program:
        assert answer_to(program, to_group) == PASS
        assert answer_to(program, packet) >= WORKER
        made.set_mac(MACS[:6])
        assert answer_to(program, packet) >= WORKER
        made.set_mac(MACS[6:])

        assert answer_to(program, packet) == PASS


def test_the_sockets_of_nobody_can_be_cleared(made: Redirect) -> None:
    """A worker is taken out whether it was in or not; what is no socket is refused."""
    made.clear_socket(1, 2)
    with pytest.raises(OSError, match="non-socket"):
        made.set_socket(0, 0, made.map_fd)


def test_an_interface_that_is_not_there_is_an_error(made: Redirect) -> None:
    """It says which call failed, and what to use instead."""
    for mode, instead in ((NATIVE, "generic"), (GENERIC, "packet")):
        with pytest.raises(HostError, match=r"bpf\(BPF_LINK_CREATE\) failed: E") as caught:
            made.attach(0x7FFFFFF0, mode)

        assert instead in str(caught.value.fix)
