from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb.core.handshake import (
    BOUNDS_US,
    HALF_LIFE_MS,
    MOST_US,
    bucket_of,
    handshake_now,
    note_handshake,
)
from natlb.core.layout import ROW
from natlb.core.memory import Kind, make
from natlb.testing import packets
from tests.datapath import B1, CLIENT, VIP, engine, full_nat, one_service
from tests.kernels import needs_plain_kernels

needs_plain_kernels()

WEB, DNS = f"{VIP}:80", f"{VIP}:53"


class Backend:
    """A backend whose answers are noted."""

    def __init__(self) -> None:
        """Begin without a sample."""
        self.counters = make(Kind.COUNTERS)
        self.note = self.counters.notes[3]

    def answer(self, taken_us: int, now_ms: int) -> int:
        """Note an answer, and return the average."""
        row = np.zeros(1, ROW)[0]
        row["backend"] = 3
        row["reply"]["timestamp_delta"] = (1000 * now_ms - taken_us) & 0xFFFFFFFF
        note_handshake(self.counters, row, 1000 * now_ms, now_ms)
        assert row["reply"]["timestamp_delta"] == 0
        return int(self.note["handshake_us"])


def test_a_slower_answer_takes_its_place_at_once() -> None:
    """The peak: a backend that stalls is known by its first late answer."""
    backend = Backend()

    assert [backend.answer(taken, 1000) for taken in (300, 5000, 90000)] == [300, 5000, 90000]


def test_a_quicker_one_is_averaged_in_by_the_time_passed() -> None:
    """Half of the difference after a half-life, a quarter after half of one, nothing at once."""
    for passed, left in ((0, 8000), (HALF_LIFE_MS // 2, 6000), (HALF_LIFE_MS, 4000)):
        backend = Backend()
        backend.answer(8000 + 100, 0)
        assert backend.answer(100, passed) == 100 + left


def test_a_decay_is_close_to_the_exponential_and_never_below_it() -> None:
    """Straight between the halvings: 6.2 % above at most, and it only falls."""
    last = 10**6
    for passed in range(0, 4 * HALF_LIFE_MS, 97):
        backend = Backend()
        backend.answer(10**6 + 1, 0)
        over = backend.answer(1, passed) - 1
        exact = 10**6 * 2 ** (-passed / HALF_LIFE_MS)
        assert exact - 2 <= over <= 1.062 * exact
        assert over <= last
        last = over


def test_an_average_halves_while_nobody_answers() -> None:
    """So that one that was slow is tried again; in the end it is as if none was seen."""
    backend = Backend()
    backend.answer(100_000, 5)
    seen = [handshake_now(backend.note, 5 + times * HALF_LIFE_MS) for times in range(18)]

    assert seen[:3] == [100_000, 50_000, 25_000]
    assert seen[16:] == [1, 0]
    assert handshake_now(backend.note, 1 << 40) == 0
    assert handshake_now(backend.note, 0) == 100_000  # another worker's clock read is behind


def test_a_sample_is_at_least_something_and_at_most_a_minute() -> None:
    """None is 0; and products of it must not pass 63 bits."""
    assert Backend().answer(0, 1000) == 1
    assert Backend().answer(200_000_000, 1_000_000) == MOST_US


def noted(path: Any) -> list[int]:
    """Return the averages of all backends that have one."""
    return [int(taken) for taken in path._counters.notes["handshake_us"] if taken]


def test_it_is_measured_from_syn_to_syn_ack() -> None:
    """A repeated SYN changes nothing, nor does a repeated answer: from the first to the first."""
    path = engine(one_service(backends=[f"{B1}:8080"]))
    path.process(packets.tcp(f"{CLIENT}:1000", WEB), 1.0)
    path.process(packets.tcp(f"{CLIENT}:1000", WEB), 2.0)
    assert noted(path) == []
    path.process(packets.tcp(f"{B1}:8080", f"{CLIENT}:1000", "SA"), 2.0015)
    path.process(packets.tcp(f"{B1}:8080", f"{CLIENT}:1000", "SA"), 9.0)

    assert noted(path) == pytest.approx([1_001_500], abs=1)
    assert not path._flows.rows["reply"]["timestamp_delta"].any()


def test_it_is_measured_from_datagram_to_datagram() -> None:
    """The first answer alone."""
    path = engine()
    sent = path.process(packets.udp(f"{CLIENT}:1000", DNS), 1.0).packets[0]
    server = packets.read(sent).destination
    path.process(packets.udp(server, f"{CLIENT}:1000"), 1.00025)
    path.process(packets.udp(server, f"{CLIENT}:1000"), 7.0)

    assert noted(path) == pytest.approx([250], abs=1)


def test_a_reset_is_no_sample() -> None:
    """Who refuses at once would be the quickest of all."""
    path = engine(one_service(backends=[f"{B1}:8080"]))
    path.process(packets.tcp(f"{CLIENT}:1000", WEB), 1.0)
    path.process(packets.tcp(f"{B1}:8080", f"{CLIENT}:1000", "RA"), 1.001)

    assert noted(path) == []


def test_full_nat_is_measured_too() -> None:
    """The backend's answer goes to an address of natlb's."""
    path = full_nat(one_service(backends=[f"{B1}:8080"], nat="full"))
    sent = packets.read(path.process(packets.tcp(f"{CLIENT}:1000", WEB), 1.0).packets[0])
    path.process(packets.tcp(sent.destination, sent.source, "SA"), 1.004)

    assert noted(path) == pytest.approx([4000], abs=1)


def test_across_versions_it_is_measured_too() -> None:
    """An IPv6 client, a backend that has IPv4 alone."""
    service = {"web": {"listen": "tcp://[2001:db8:f::10]:80", "backends": [f"{B1}:8080"]}}
    path = full_nat(service)
    came = packets.tcp("[2001:db8:c::2]:1000", "[2001:db8:f::10]:80")
    sent = packets.read(path.process(came, 1.0).packets[0])
    path.process(packets.tcp(sent.destination, sent.source, "SA"), 1.002)

    assert noted(path) == pytest.approx([2000], abs=1)


def test_a_time_is_counted_in_the_first_bucket_that_holds_it() -> None:
    """A bound belongs to its own bucket; what is above all of them to the last."""
    for bucket, bound in enumerate(BOUNDS_US):
        assert bucket_of(bound) == bucket
        assert bucket_of(bound + 1) == bucket + 1
    assert bucket_of(0) == 0
    assert bucket_of(0xFFFFFFFF) == len(BOUNDS_US)


def test_when_a_backend_last_answered_is_kept_by_protocol() -> None:
    """So that silence toward datagrams means nothing where nobody ever replied to one."""
    path = engine(
        one_service(backends=[f"{B1}:8080"])
        | {"dns": {"listen": f"udp://{DNS}", "backends": [f"{B1}:5353"]}}
    )
    web, dns = (
        path._counters.notes[path._indices.backends[name]]
        for name in (("web", f"{B1}:8080"), ("dns", f"{B1}:5353"))
    )
    client = f"{CLIENT}:40000"
    path.process(packets.tcp(client, WEB), 1.0)
    path.process(packets.tcp(f"{B1}:8080", client, "SA"), 1.5)
    path.process(packets.udp(client, DNS), 2.0)
    path.process(packets.udp(f"{B1}:5353", client), 2.5)

    assert (web["answered_ms"], web["replied_ms"]) == (1500, 0)
    assert (dns["answered_ms"], dns["replied_ms"]) == (0, 2500)
    assert web["handshake_sum_us"] == dns["handshake_sum_us"] == 500_000
