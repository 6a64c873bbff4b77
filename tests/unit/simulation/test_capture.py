from __future__ import annotations

import struct

import dpkt
import pytest

from natlb.errors import UsageError
from natlb.simulation.capture import USUAL_HANDSHAKE, read_capture
from natlb.simulation.workload import FIRST_CLIENT
from natlb.testing import packets

A, B, VIP = "198.51.100.2:40000", "198.51.100.3:40000", "203.0.113.10:80"
SECOND = 1_000_000


def written(path, frames, link=101, *, cut=0):
    """Write packets with their moments to a pcap file, and return its path."""
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, linktype=link)
        for moment, octets in frames:
            writer.writepkt(octets, moment)
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path


def call(client: str, begin: float, answer: float | None, end: float):
    """Return the packets of a connection."""
    yield begin, packets.tcp(client, VIP, "S")
    if answer is not None:
        yield answer, packets.tcp(VIP, client, "SA")
    yield end, packets.tcp(client, VIP, "A")


def test_flows_have_the_times_of_the_capture(tmp_path) -> None:
    """From the first on; clients are numbered as they come."""
    frames = sorted([*call(A, 1000.0, 1000.01, 1002.0), *call(B, 1000.5, 1000.52, 1001.0)])
    flows = read_capture(written(tmp_path / "x.pcap", frames))

    assert list(flows.starts) == [0, SECOND // 2]
    assert list(flows.clients - FIRST_CLIENT) == [0, 1]
    assert flows.handshakes == pytest.approx([10_000, 20_000], abs=2)
    assert flows.services == pytest.approx([1_990_000, 480_000], abs=2)


def test_ethernet_and_ipv6_and_udp_are_read(tmp_path) -> None:
    """And what is neither IP nor whole is left out."""
    ethernet = b"\2" * 12
    six = packets.udp("[2001:db8::2]:5000", "[2001:db8::10]:53", b"?")
    back = packets.udp("[2001:db8::10]:53", "[2001:db8::2]:5000", b"!")
    frames = [
        (1.0, ethernet + b"\x08\x06" + bytes(28)),
        (1.5, b"short"),
        (2.0, ethernet + b"\x86\xdd" + six),
        (2.25, ethernet + b"\x86\xdd" + back),
        (3.0, ethernet + b"\x86\xdd" + six),
    ]
    flows = read_capture(written(tmp_path / "x.pcap", frames, link=1))

    assert list(flows.starts) == [0]
    assert flows.handshakes[0] == 250_000
    assert flows.services[0] == 750_000


def test_a_syn_that_is_sent_again_is_one_call_and_a_port_used_again_two(tmp_path) -> None:
    """By whether it was answered."""
    again = [(1.0, packets.tcp(A, VIP, "S")), (2.0, packets.tcp(A, VIP, "S"))]
    used = [*call(A, 1.0, 1.1, 2.0), *call(A, 5.0, 5.1, 6.0)]

    assert read_capture(written(tmp_path / "a.pcap", again)).starts.size == 1
    assert read_capture(written(tmp_path / "b.pcap", used)).starts.size == 2


def test_a_connection_under_way_is_left_out(tmp_path) -> None:
    """Nobody knows when it began; and other protocols are no flows."""
    echo = packets.tcp(A, VIP, "S")
    frames = [
        (1.0, packets.tcp(B, VIP, "A")),
        (2.0, echo[:9] + b"\1" + echo[10:]),
        *call(A, 3, 4, 5),
    ]

    assert read_capture(written(tmp_path / "x.pcap", frames)).starts.size == 1


def test_a_call_that_nobody_answered_takes_the_usual_time(tmp_path) -> None:
    """It is opened all the same."""
    flows = read_capture(written(tmp_path / "x.pcap", [(1.0, packets.tcp(A, VIP, "S"))]))

    assert flows.handshakes[0] == round(USUAL_HANDSHAKE * SECOND)
    assert flows.services[0] == 0


def test_only_so_many_flows(tmp_path) -> None:
    """The first ones."""
    frames = [*call(A, 1.0, 1.1, 2.0), *call(B, 5.0, 5.1, 6.0)]

    assert read_capture(written(tmp_path / "x.pcap", frames), 1).starts.size == 1


@pytest.mark.parametrize("octets", [None, b"", b"not a capture, but long enough to be one"])
def test_what_is_no_capture_is_refused(tmp_path, octets) -> None:
    """Not there, empty, something else."""
    path = tmp_path / "x.pcap"
    if octets is not None:
        path.write_bytes(octets)

    with pytest.raises(UsageError, match="--pcap"):
        read_capture(path)


def test_a_capture_without_a_flow_is_refused(tmp_path) -> None:
    """There is nothing to play."""
    with pytest.raises(UsageError, match="no TCP connection begins in it"):
        read_capture(written(tmp_path / "x.pcap", []))


def test_a_link_layer_that_is_not_known_is_refused(tmp_path) -> None:
    """Bluetooth, for one."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 187)
    (tmp_path / "x.pcap").write_bytes(head)

    with pytest.raises(UsageError, match="link layer 187 is not known"):
        read_capture(tmp_path / "x.pcap")
