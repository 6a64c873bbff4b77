"""The client against the real API, and against sockets that are something else."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from natlb.client import Client, places
from natlb.client.transport import UnixConnection
from natlb.errors import (
    BusyError,
    ChangedError,
    ConfigError,
    DeniedError,
    HostError,
    NatlbError,
    UnavailableError,
    UnknownNameError,
    UsageError,
    WaitTimeoutError,
)
from natlb.model import (
    Flow,
    FlowFilter,
    Service,
    Shadow,
    SpreadCounts,
    Statistics,
    to_json,
)
from tests.unit.conftest import TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_what_the_instance_says_arrives_as_it_was(served) -> None:
    """Values go through JSON and come out equal, nested ones too."""
    client, instance = Client(served.path), served.instance

    assert client.backends() == instance.pool
    assert client.backends("web") == instance.pool
    assert client.flows() == instance.table
    assert client.services()[0].backends.up == 3
    assert client.stats().workers[0].pid == 12
    assert client.status().changes[0].now == 5


def test_shadows_arrive_as_values(served, monkeypatch) -> None:
    """Those that are by name as well; and who has none has none."""
    client, instance = Client(served.path), served.instance
    spread = {"be1": SpreadCounts(policy=1, shadow=2), "be2": SpreadCounts(policy=2, shadow=1)}
    shadow = Shadow(policy="maglev", compared=3, differed=2, spread=spread)
    plain, stats = asyncio.run(instance.services())[0], asyncio.run(instance.stats())
    rich = replace(plain, shadow=shadow, fallbacks=4)
    counts = {"web": shadow}
    counted = replace(stats, shadow=counts, fallbacks={"web": 4})

    async def services() -> list[Service]:
        return [plain, rich]

    async def all_counts() -> Statistics:
        return counted

    monkeypatch.setattr(instance, "services", services)
    monkeypatch.setattr(instance, "stats", all_counts)

    assert client.services() == [plain, rich]
    assert client.stats() == counted


def test_intents_arrive_as_they_were_meant(served) -> None:
    """Each change is one request, with all that was said and nothing more."""
    client, wanted = Client(served.path), FlowFilter(service="web", client="198.51.100.0/24")
    client.set_backend("web", "be2", state="draining")
    client.set_backend("web", "be2", weight=0)
    client.reload("/etc/natlb.yaml")
    client.flush(wanted, reset=True)
    client.flows(wanted, limit=7)

    assert served.instance.calls == [
        ("set_backend", "web", "be2", "draining", None),
        ("set_backend", "web", "be2", None, 0),
        ("reload", "/etc/natlb.yaml"),
        ("flush", wanted, True),
        ("flows", wanted, 7),
    ]


def test_a_change_returns_what_is_now(served) -> None:
    """The caller sees what it did."""
    client = Client(served.path)

    assert client.set_backend("web", "be2", state="maint", weight=3).state == "maint"
    assert client.reload().changed == ["web/be2"]
    assert client.flush(reset=True).resets == 6


def test_flows_are_copied_without_being_held(served) -> None:
    """The document of a million flows passes through as it comes."""
    served.instance.table *= 1000
    copy = io.BytesIO()
    Client(served.path).copy_flows(copy)

    assert json.loads(copy.getvalue()) == to_json(served.instance.table)


@pytest.mark.parametrize(
    "error",
    [
        kind("what, where", fix="how")
        for kind in (
            UsageError,
            UnknownNameError,
            ConfigError,
            UnavailableError,
            BusyError,
            DeniedError,
            HostError,
            WaitTimeoutError,
        )
    ],
)
def test_an_error_crosses_the_socket_with_its_class_words_and_exit_code(served, error) -> None:
    """The command line exits as if the instance had been called in its own process."""
    served.instance.failure = error
    with pytest.raises(type(error)) as caught:
        Client(served.path).reload()

    assert (caught.value.message, caught.value.fix) == ("what, where", "how")
    assert caught.value.exit_code == error.exit_code


def test_a_bug_on_the_other_side_stays_a_bug_here(served) -> None:
    """Exit code 70, and the words that say where its traceback is."""
    served.instance.failure = ZeroDivisionError()
    with pytest.raises(NatlbError) as caught:
        Client(served.path).status()

    assert caught.value.exit_code == 70


def test_nothing_there_names_the_socket_and_those_that_exist(folder, monkeypatch) -> None:
    """The usual mistake is to stand in another namespace than natlb does."""
    monkeypatch.setattr(places, "RUN", folder)
    for namespace in ("4026531840", "4026532222"):
        (folder / namespace).mkdir()
        (folder / namespace / "natlb.sock").touch()
    with pytest.raises(UnavailableError) as caught:
        Client(str(folder / "none.sock")).status()

    assert f"{folder}/none.sock" in caught.value.message
    assert f"{folder}/4026531840/natlb.sock, {folder}/4026532222" in caught.value.message
    assert caught.value.fix == f"natlb --socket {folder}/4026531840/natlb.sock status"


def test_a_socket_that_nobody_serves_is_natlb_not_running(folder, monkeypatch) -> None:
    """A dead instance leaves its socket's name behind."""
    monkeypatch.setattr(places, "RUN", folder)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder / "left.sock"))
    left.close()
    with pytest.raises(UnavailableError, match="not running") as caught:
        Client(str(folder / "left.sock")).status()

    assert caught.value.fix == "natlb run -c FILE"


@pytest.mark.parametrize("path", ["/proc/none/natlb.sock", "/etc/hostname/x", "/" + "a" * 200])
def test_a_path_that_can_be_no_socket_is_unavailable(path) -> None:
    """Whatever was given as a path, it is no bug of natlb's."""
    with pytest.raises(UnavailableError, match="/"):
        Client(path).status()


def test_no_permission_names_the_group_that_has_it(folder, monkeypatch) -> None:
    """One word tells what to join."""
    (folder / "closed.sock").touch()
    os.chown(folder / "closed.sock", -1, os.getgid())
    with refusing(monkeypatch, PermissionError(13, "Permission denied")):
        with pytest.raises(DeniedError, match=r"closed\.sock.*group '"):
            Client(str(folder / "closed.sock")).status()
        with pytest.raises(DeniedError, match="hidden"):
            Client(str(folder / "closed.sock" / "hidden")).status()


@contextmanager
def refusing(monkeypatch, error: OSError) -> Iterator[None]:
    """Let every connect fail: root, who runs tests, is refused nothing by the kernel."""

    def connect(_connection) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(UnixConnection, "connect", connect)
        yield


def test_silence_ends(folder) -> None:
    """A hung control must not hang every command."""
    with listening(folder) as (path, _), pytest.raises(WaitTimeoutError, match=r"0\.05 s"):
        Client(path, timeout=0.05).status()


@contextmanager
def listening(folder: Path, *answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Serve fixed answers, one a connection, each then closed; yield path and requests."""
    path, asked = str(folder / "other.sock"), []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            for octets in answers:
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(1 << 16))
                    connection.sendall(octets)

        thread = threading.Thread(target=answer)
        thread.start()
        yield path, asked
        thread.join()


HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"<html>",
        HEAD + b"\xff",
        HEAD + b"[]",
        HEAD + b"{}",
        HEAD + b'"ready"',
        b"HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\nOops",
        b"HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\n[]",
        b"HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\n{}",
    ],
)
def test_another_kind_of_server_is_not_natlb(folder, answer) -> None:
    """A path mixed up is told as that, not as a bug."""
    with listening(folder, answer) as (path, _), pytest.raises(UnavailableError):
        Client(path).status()


def test_fields_that_a_later_natlb_added_are_left_out(folder, served) -> None:
    """An old command goes on reading a new instance."""
    flow = {**to_json(served.instance.table[0]), "mark": 5}
    with listening(folder, HEAD + json.dumps([flow]).encode()) as (path, _):
        flows = Client(path).flows()

    assert flows == [served.instance.table[0]]
    assert isinstance(flows[0], Flow)


def test_a_read_is_asked_again_when_control_is_replaced(folder, served) -> None:
    """Between two controls the listening socket stays: the second try is served."""
    backends = HEAD + json.dumps(to_json(served.instance.pool)).encode()
    with listening(folder, b"", backends) as (path, asked):
        assert Client(path).backends() == served.instance.pool

    assert len(asked) == 2


def test_a_change_is_not_asked_twice(folder) -> None:
    """It may have been done: the user is told to look."""
    with listening(folder, b"") as (path, asked), pytest.raises(UnavailableError, match="broke"):
        Client(path).reload()

    assert len(asked) == 1


@pytest.mark.parametrize("length", [b"content-length: 50", b"transfer-encoding: chunked"])
def test_an_answer_cut_short_is_told(folder, length) -> None:
    """Half a document is no document."""
    cut = b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + length + b"\r\n\r\n1\r\n[\r\n"
    with listening(folder, cut) as (path, _), pytest.raises(UnavailableError, match="broke"):
        Client(path).flows()


def test_a_copy_cut_short_is_told(folder) -> None:
    """What was written until then is no whole list, and the exit code says so."""
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    cut = head + b"1\r\n[\r\n"
    with listening(folder, cut) as (path, _), pytest.raises(UnavailableError, match="broke"):
        Client(path).copy_flows(io.BytesIO())


def test_the_client_is_light() -> None:
    """It is in every command's way."""
    code = "import natlb.client, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert {name for name in loaded if name.startswith("natlb")} == {
        "natlb",
        "natlb.client",
        "natlb.client.asking",
        "natlb.client.following",
        "natlb.client.places",
        "natlb.client.transport",
        "natlb.client.values",
        "natlb.errors",
        "natlb.model",
    }
    assert not {"numpy", "numba", "pydantic", "fastapi", "pyroute2"} & set(loaded)


def test_pools_are_changed_and_saved(served) -> None:
    """By the words of the API; what is only tried changes nothing."""
    client = Client(served.path)
    tried = client.add_backend("web", "10.77.0.14:8080", name="be4", dry_run=True)
    assert len(served.instance.pool) == 3
    added = client.add_backend("web", "10.77.0.14:8080", name="be4", weight=2)
    gone = client.remove_backend("web", "be4")
    saved = client.save_config(dry_run=True)

    assert (tried.weight, added.weight, gone) == (1, 2, added)
    assert saved.changes[0].backend == "web/be2"
    assert served.instance.calls[-1] == ("save_config", "dry run")


def test_every_change_can_be_tried_and_be_meant_for_one_state(served) -> None:
    """A revision that is read first, and a change that is refused where it is another by then."""
    client, now = Client(served.path), Client(served.path).revision()
    changes: list[Any] = [
        lambda **how: client.set_backend("web", "be1", weight=3, **how),
        lambda **how: client.add_backend("web", "10.77.0.14", **how),
        lambda **how: client.remove_backend("web", "be1", **how),
        client.flush,
        client.reload,
        client.save_config,
    ]
    for change in changes:
        change(dry_run=True, if_match=now)
        with pytest.raises(ChangedError):
            change(if_match=now + 1)

    assert now == 7
    assert served.instance.meant == [frozenset({7})] * len(changes)
    assert all(call[-1] == "dry run" for call in served.instance.calls[1:])
    assert client.checks("web", "be1").results[0].code == "L7OK"


def test_an_answer_without_a_revision_is_not_natlbs(folder) -> None:
    """Nothing is made up."""
    with listening(folder, HEAD) as (path, _), pytest.raises(UnavailableError, match="no revision"):
        Client(path).revision()


def test_by_tcp_a_token_says_who_asks(served, monkeypatch) -> None:
    """From the environment too; who has none, or may too little, is denied."""
    place = "tcp://{}:{}".format(*served.tcp)
    monkeypatch.delenv("NATLB_TOKEN", raising=False)

    assert Client(place, token=TOKENS["read"]).status().ready
    with pytest.raises(DeniedError, match="a token is needed"):
        Client(place).status()
    with pytest.raises(DeniedError, match="needs the role operate, you have read"):
        Client(place, token=TOKENS["read"]).flush()
    monkeypatch.setenv("NATLB_TOKEN", TOKENS["operate"])
    assert Client(place).flush().flushed == 3
    with pytest.raises(DeniedError, match="needs the role admin"):
        Client(place).reload()


@pytest.mark.parametrize("place", ["tcp://127.0.0.1:x", "tcp://[::1", "tcp://127.0.0.1:99999"])
def test_a_place_that_is_none_is_told(place: str) -> None:
    """It came from a command line."""
    with pytest.raises(UsageError, match="no place to connect to"):
        Client(place, token="k" * 40).status()


@pytest.mark.parametrize("token", ["a\r\nhost: evil", "\ud800", "é" * 40, "k\0"])
def test_a_token_that_is_none_is_told_and_not_shown(token: str) -> None:
    """It would become another header."""
    with pytest.raises(UsageError) as caught:
        Client("tcp://127.0.0.1:9", token=token).status()

    assert token not in caught.value.message
