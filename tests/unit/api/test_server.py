"""What a connection may do."""

from __future__ import annotations

import json
import select
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from natlb.api import server
from natlb.api.server import CONNECTIONS, HEAD_BYTES

STATUS = b"GET /v1/status HTTP/1.1\r\nhost: natlb\r\n\r\n"
WORDS = st.sampled_from(
    [
        b"GET ",
        b"POST ",
        b"CONNECT ",
        b"/v1/status",
        b"/v1/flows?",
        b"%",
        b" HTTP/1.1\r\n",
        b" HTTP/2.0\r\n",
        b"\r\n",
        b"\n",
        b"host: natlb\r\n",
        b"upgrade: websocket\r\nconnection: upgrade\r\n",
        b"content-length: 5\r\n",
        b"content-length: -1\r\n",
        b"transfer-encoding: chunked\r\n",
        b"expect: 100-continue\r\n",
        b"ffffffffffffffff\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"{}",
    ]
)
ANYTHING = st.one_of(st.binary(max_size=400), st.lists(WORDS, max_size=12).map(b"".join))


def error_of(answer: bytes) -> dict:
    """Return the error that an answer tells."""
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(octets=ANYTHING)
@example(octets=b"\x00" * 100)
@example(octets=b"GET / HTTP/1.1\r\n\r\n")
@example(octets=b"GET http://[::1 HTTP/1.1\r\nhost: natlb\r\n\r\n")
@example(octets=b"CONNECT a:80 HTTP/1.1\r\nhost: natlb\r\n\r\n")
@example(octets=b"GET /v1/status HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
@example(
    octets=b"POST /v1/flush HTTP/1.1\r\nhost: natlb\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
)
@example(octets=b"POST /v1/flush HTTP/1.1\r\nhost: natlb\r\ncontent-length: 9\r\n\r\n{")
@example(octets=STATUS + b"\x00garbage")
@example(octets=STATUS * 3)
def test_any_bytes_get_an_answer_and_natlb_goes_on(served, octets) -> None:
    """Whoever may open the socket may send anything: control must survive it."""
    answer = served.ask(octets)

    assert answer.startswith(b"HTTP/1.1 ") or (not answer and not octets.strip(b"\r\n"))
    assert served.ask(STATUS).startswith(b"HTTP/1.1 200 ")


def test_what_is_not_http_is_refused_in_the_form_of_every_error(served) -> None:
    """A program that reads the answer needs no second parser."""
    answer = served.ask(b"\x16\x03\x01 hello", close=False)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert error_of(answer)["code"] == "usage"


def test_a_head_without_end_is_refused(served) -> None:
    """Memory is bounded before a request is one."""
    answer = served.ask(b"GET /" + b"a" * (HEAD_BYTES + 1), close=False)

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_one_connection_too_many_is_told_and_room_is_made_again(served) -> None:
    """Clients that hang must not lock the administrator out without a word."""
    held = [served.connect() for _ in range(CONNECTIONS)]
    for connection in held:
        connection.sendall(STATUS)
        assert connection.recv(1)
    answer = served.ask(b"", close=False)
    for connection in held:
        connection.close()

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert error_of(answer)["code"] == "busy"
    assert until(lambda: served.ask(STATUS).startswith(b"HTTP/1.1 200 "))


def until(condition) -> bool:
    """Return whether a condition comes true in 500 tries, some seconds at most."""
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def hasty(monkeypatch):
    """Let natlb wait for clients a tenth of a second."""
    monkeypatch.setattr(server, "CLIENT_SECONDS", 0.1)


@pytest.mark.parametrize(
    "octets",
    [b"", b"GET /v1/sta", b"POST /v1/flush HTTP/1.1\r\nhost: natlb\r\ncontent-length: 9\r\n\r\n{"],
)
def test_a_client_that_does_not_finish_is_cut(hasty, served, octets) -> None:
    """64 idle connections would be all there are."""
    answer = served.ask(octets, close=False)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert error_of(answer)["code"] == "timeout"


def test_a_client_that_trickles_is_cut_all_the_same(hasty, served) -> None:
    """An octet now and then does not set the clock back."""
    with served.connect() as connection:
        connection.settimeout(0.02)
        assert until(lambda: answered_after_an_octet(connection))


def answered_after_an_octet(connection) -> bool:
    """Send an octet more of an endless request, and return whether natlb had enough."""
    try:
        with suppress(BrokenPipeError):  # it had enough before this one
            connection.sendall(b"a")
        return connection.recv(100).startswith(b"HTTP/1.1 408 ")
    except TimeoutError:
        return False


def test_a_client_that_takes_no_answer_is_cut(hasty, served) -> None:
    """An answer that nobody reads is not kept for ever."""
    served.instance.table *= 20_000
    with served.connect() as connection:
        connection.sendall(STATUS.replace(b"status", b"flows"))
        hung_up = select.poll()
        hung_up.register(connection, 0)

        assert hung_up.poll(20_000)


def test_a_reader_that_is_slow_gets_all_of_a_long_answer(served) -> None:
    """Written on as it is read, and kept in nobody's memory meanwhile."""
    served.instance.table *= 2000
    last = b"GET /v1/flows HTTP/1.1\r\nhost: natlb\r\nconnection: close\r\n\r\n"
    with served.connect() as connection:
        connection.sendall(last)
        time.sleep(0.2)  # long enough for every buffer on the way to be full
        answer = read_all(connection)

    assert answer.count(b'"service": "web"') == 6000
    assert answer.endswith(b"0\r\n\r\n")


def test_an_answer_that_nobody_takes_does_not_keep_the_server(
    folder, serving_at, monkeypatch
) -> None:
    """Control leaves when it is told to."""
    monkeypatch.setattr(server, "LEAVE_SECONDS", 0)
    with serving_at(str(folder / "leaving")) as served:
        served.instance.table *= 20_000
        connection = served.connect()
        connection.sendall(STATUS.replace(b"status", b"flows"))
        assert connection.recv(1)
    with connection:
        connection.settimeout(5)
        cut = read_all(connection)

    assert not cut.endswith(b"0\r\n\r\n")


def test_a_half_closed_client_gets_its_answer(served) -> None:
    """`nc -N` and the like close their half as soon as they have asked."""
    assert served.ask(STATUS, close=True).startswith(b"HTTP/1.1 200 ")


def test_requests_on_one_connection_are_answered_in_turn(served) -> None:
    """A kept connection serves a watcher cheaply."""
    last = STATUS.replace(b"host:", b"connection: close\r\nhost:")
    answer = served.ask(STATUS * 2 + last, close=False)

    assert answer.count(b"HTTP/1.1 200 ") == 3


def test_an_answer_under_way_is_finished_when_the_server_leaves(folder, serving_at) -> None:
    """A restart of control does not break the answer it was giving."""
    gate = threading.Event()
    with serving_at(str(folder / "leaving")) as served:
        served.instance.gate = gate
        connection = served.connect()
        connection.sendall(STATUS)
        assert until(lambda: served.instance.calls)
        opening = threading.Timer(0.1, gate.set)
        opening.start()
    with connection:
        answer = read_all(connection)
    opening.join()

    assert answer.startswith(b"HTTP/1.1 200 ")


def read_all(connection) -> bytes:
    """Return what still comes."""
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))
