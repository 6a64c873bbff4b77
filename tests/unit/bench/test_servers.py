"""What the backend serves."""

from __future__ import annotations

import shutil
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from natlb.bench import servers
from natlb.bench.results import MeasureError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    """Give a lab whose hosts are here."""
    return SimpleNamespace(
        directory=tmp_path, log=lambda name: tmp_path / f"{name}.log", netns=lambda _: None
    )


def test_who_listens_is_seen_at_once() -> None:
    """In the namespace of whoever asks."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        assert made.getsockname()[1] in servers.listening_ports()


def test_a_server_that_never_listens_is_told_by_its_last_word(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for without end."""
    monkeypatch.setattr(servers, "LISTEN_SECONDS", 0.0)
    monkeypatch.setattr(servers, "listening_ports", set)
    lab.log("http").write_text("cannot bind\n")

    with pytest.raises(MeasureError, match="nothing listens on port 80; http: cannot bind"):
        servers.wait_listening(lab, 80)


def test_without_nginx_natlbs_own_server_answers_and_that_is_told(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is slower than any forwarder, so nobody may take its figures for a forwarder's."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "natlb.lab.backend" in servers.http_server(lab)
    assert "apt-get install nginx" in servers.http_note()

    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert servers.http_server(lab)[0] == "nginx"
    assert "return 200" in (lab.directory / "http.conf").read_text()
    assert "by nginx" in servers.http_note()
