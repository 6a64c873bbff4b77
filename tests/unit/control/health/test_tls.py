"""TLS of checks: who is on the other side, and what is wrong with it."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from typing import TYPE_CHECKING

import pytest

from natlb.control.health.codes import Code
from tests.unit.control.health.servers import (
    SHORT,
    against,
    closing,
    make_certificates,
    never_late,
    saying,
    silent,
)

if TYPE_CHECKING:
    import socket
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a CA, what it signed, and what of that ran out."""
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def secured(certificates: Path, name: str = "web", *, client: bool = False):
    """Return who serves one request over TLS, with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    if client:
        context.verify_mode = ssl.CERT_REQUIRED

    def serve(connection: socket.socket) -> None:
        connection.settimeout(60)
        try:
            with context.wrap_socket(connection.dup(), server_side=True) as tls:
                tls.recv(65536)
                tls.sendall(OK)
                tls.recv(65536)
        except OSError:
            return  # the check has seen enough

    async def talk(connection: socket.socket) -> None:
        await asyncio.to_thread(serve, connection)

    return talk


def met(talk, **check: object):
    """Return what a check comes to that meets this server."""
    return against(talk, type="https", **check)


def test_a_certificate_that_is_right_passes(certificates: Path) -> None:
    """By the name asked for, and by the address; what it says is shown."""
    ca = str(certificates / "ca.pem")
    by_name = met(secured(certificates), ca=ca, sni="web.test")
    by_address = met(secured(certificates), ca=ca, match="fine")
    handshake = next(each for each in by_name.phases if each.name == "handshake")

    assert (by_name.status, by_name.code) == ("up", Code.L7OK), by_name.reason
    assert (by_address.status, by_address.code) == ("up", Code.L7OK), by_address.reason
    assert "commonName=web.test until " in handshake.seen


@pytest.mark.parametrize(
    ("name", "check", "words"),
    [
        ("web", {"sni": "other.test"}, "certificate: Hostname mismatch"),
        ("old", {}, "certificate: certificate has expired"),
        ("web", {"ca": None}, "certificate: unable to get local issuer certificate"),
    ],
)
def test_a_certificate_that_is_wrong_is_l6rsp(certificates: Path, name, check, words) -> None:
    """Of another name, run out, or signed by nobody that is trusted."""
    result = met(secured(certificates, name), **{"ca": str(certificates / "ca.pem"), **check})

    assert (result.status, result.code) == ("down", Code.L6RSP)
    assert result.reason.startswith(words)


def test_without_verification_any_certificate_passes(certificates: Path) -> None:
    """As is said in the steps."""
    result = met(secured(certificates, "old"), verify=False)

    assert (result.status, result.code) == ("up", Code.L7OK)
    assert any("certificate not checked" in each.seen for each in result.phases)


@pytest.mark.parametrize("talk", [closing, saying(OK)], ids=["closing", "plain"])
def test_no_tls_on_the_other_side_is_l6rsp(talk) -> None:
    """One that closes, and one that speaks in the open."""
    result = met(talk, verify=False)

    assert (result.status, result.code) == ("down", Code.L6RSP)


def test_a_server_that_wants_a_certificate_of_natlb_is_l6rsp(certificates: Path) -> None:
    """In TLS 1.3 it says so after the handshake."""
    result = met(secured(certificates, client=True), verify=False)

    assert (result.status, result.code) == ("down", Code.L6RSP)


def test_a_handshake_that_does_not_end_is_l6tout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is open, and nobody answers."""
    never_late(monkeypatch)
    result = met(silent, verify=False, timeout=SHORT)

    assert (result.status, result.code) == ("down", Code.L6TOUT)
    assert result.reason == f"no handshake within {SHORT:g} s"


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["missing", "garbage"])
def test_a_file_that_cannot_be_used_is_natlbs_fault(tmp_path: Path, content) -> None:
    """It is said; no backend is down for it."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    result = met(silent, ca=str(file))

    assert (result.status, result.code) == (None, Code.SOCKERR)
    assert str(file) in result.reason


def test_a_file_that_was_replaced_is_read_again(certificates: Path, tmp_path: Path) -> None:
    """Certificates are renewed while natlb runs."""
    file = tmp_path / "ca.pem"
    file.write_bytes(b"no certificate")
    assert met(secured(certificates), ca=str(file)).is_ours
    file.write_bytes((certificates / "ca.pem").read_bytes())

    assert met(secured(certificates), ca=str(file)).code is Code.L7OK
