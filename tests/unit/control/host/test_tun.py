from __future__ import annotations

import errno
import os
import select
import stat
from typing import TYPE_CHECKING

import pytest

from natlb.control.host import tun
from natlb.control.host.tun import SEGMENTS, explain_device, open_device, open_tun
from natlb.errors import BusyError, DeniedError, HostError
from natlb.netlink import Netlink
from tests.gateway import ip, namespaces_of

if TYPE_CHECKING:
    from pathlib import Path

netns = pytest.mark.netns


@netns
def test_a_queue_is_made_in_its_namespace_with_its_offloads() -> None:
    """Not blocking, closed by an exec, super-packets allowed, and gone when it is closed."""
    with namespaces_of("a") as [name], Netlink(name) as netlink:
        queue = open_tun("natlb-t0", name)
        try:
            [shown] = ip(name, "-details", "link", "show", "natlb-t0")
            detail = shown["linkinfo"]["info_data"]

            assert not os.get_inheritable(queue.fd)
            assert not os.get_blocking(queue.fd)
            assert queue.offloads & SEGMENTS == SEGMENTS
            assert (detail["type"], detail["pi"], detail["vnet_hdr"]) == ("tun", False, True)
            assert not detail["persist"]
            assert not netlink.link("natlb-t0").up
        finally:
            os.close(queue.fd)

        assert not netlink.has_link("natlb-t0")


@netns
def test_a_name_that_is_taken_is_refused_not_joined() -> None:
    """Two instances must never read one device."""
    with namespaces_of("a") as [name]:
        queue = open_tun("natlb-t0", name)
        try:
            with pytest.raises(BusyError, match=f"natlb-t0 in network namespace {name}") as busy:
                open_tun("natlb-t0", name)
            with pytest.raises(BusyError):
                open_tun("lo", name)
        finally:
            os.close(queue.fd)

        assert "natlb cleanup" in (busy.value.fix or "")


@pytest.mark.parametrize("name", ["", "sixteen-octets-x", "ünïcödé-nämes"])
def test_a_name_that_no_interface_can_have_is_refused(name: str) -> None:
    """The kernel would cut it short and make another."""
    with pytest.raises(HostError, match="is not a name of 1 to 15 octets"):
        open_tun(name)


def test_a_kernel_without_segmentation_of_datagrams_takes_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """USO came with Linux 6.2; TCP's super-packets are older."""
    asked: list[int] = []

    def takes(fd: int, offloads: int) -> bool:
        asked.append(offloads)
        return offloads == SEGMENTS

    monkeypatch.setattr(tun, "_takes", takes)
    monkeypatch.setattr(tun, "ioctl", lambda *_: 0)

    assert tun._attach(-1, "natlb-t0", None, 0) == SEGMENTS
    assert asked == [0x67, 0x07]


@pytest.mark.parametrize(
    ("reason", "kind", "words", "fix"),
    [
        (errno.ENOENT, HostError, "no /dev", "modprobe tun; for a container: --device"),
        (errno.ENODEV, HostError, "no TUN driver", "modprobe tun"),
        (errno.EACCES, HostError, "mode 0600, owner", "chmod 0666"),
        (errno.EPERM, HostError, "mode 0600, owner", "--device"),
        (errno.EIO, HostError, "Input/output error", "modprobe tun"),
    ],
)
def test_why_there_is_no_tun_comes_with_what_was_seen_and_the_mend(
    reason: int, kind: type, words: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mode and owner tell a container from a careful host."""
    device = tmp_path / "dev" / "tun"
    device.parent.mkdir()
    device.touch(mode=0o600)
    monkeypatch.setattr(tun, "DEVICE", device)
    said = explain_device(reason)

    assert type(said) is kind
    assert words.replace("/dev", str(device.parent)) in said.message
    assert fix in (said.fix or "")


def test_a_device_that_is_not_there_is_seen_by_opening_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `doctor` tries is what `run` does."""
    monkeypatch.setattr(tun, "DEVICE", tmp_path / "tun")
    with pytest.raises(HostError, match="no /"):
        open_device()


@netns
def test_a_queue_takes_what_is_written_only_when_the_device_is_up() -> None:
    """A link that is down answers EIO."""
    with namespaces_of("a") as [name], Netlink(name) as netlink:
        queue = open_tun("natlb-t0", name)
        try:
            with pytest.raises(OSError, match="Input/output") as down:
                os.write(queue.fd, bytes(10) + b"\x45" + bytes(19))
            netlink.set_up("natlb-t0")

            assert down.value.errno == errno.EIO
            assert os.write(queue.fd, bytes(10) + b"\x45" + bytes(19)) == 30
            assert stat.S_ISCHR(os.fstat(queue.fd).st_mode)
            assert not select.select([queue.fd], [], [], 0)[0] or os.read(queue.fd, 2048)
        finally:
            os.close(queue.fd)


def test_a_missing_right_to_make_a_device_is_named() -> None:
    """Opening /dev/net/tun may be allowed where making a device is not."""
    said = tun._explain_attach(errno.EPERM, "natlb-pub", "left")

    assert isinstance(said, DeniedError)
    assert (
        said.message == "need CAP_NET_ADMIN to make TUN device natlb-pub in network namespace left"
    )
