from __future__ import annotations

import errno
import socket
import threading

import pytest

from natlb.errors import DeniedError, HostError
from natlb.netlink import (
    KernelError,
    Netlink,
    call_inside,
    create_namespace,
    delete_namespace,
    identity,
    inside,
    namespaces,
    read_sysctl,
    sysctl_names,
    write_sysctl,
)
from natlb.netlink.namespace import NAMESPACES, refuse
from tests.gateway import namespaces_of

netns = pytest.mark.netns


def test_a_missing_right_is_told_from_what_the_host_cannot() -> None:
    """The one ends in exit code 77, the other in 78."""
    denied = refuse("cannot make veth pair a, b", errno.EPERM)
    other = refuse("cannot make veth pair a, b", errno.EEXIST)
    read_only = refuse("cannot set sysctl net/ipv4/ip_forward to 1", errno.EROFS)

    assert isinstance(denied, DeniedError)
    assert denied.message == "need CAP_NET_ADMIN: cannot make veth pair a, b"
    assert isinstance(other, KernelError)
    assert other.fix is None
    assert "--privileged" in (read_only.fix or "")


@netns
def test_a_namespace_is_made_listed_entered_and_deleted() -> None:
    """Its name is the file that `ip netns` would make."""
    with namespaces_of("a") as [name]:
        assert name in namespaces()
        assert identity(name) == (NAMESPACES / name).stat().st_ino != identity()
        assert call_inside(name, identity) == identity(name)
        with inside(name):
            assert identity() == identity(name)

    assert name not in namespaces()


@netns
def test_only_the_thread_that_enters_moves() -> None:
    """Sockets and files of the others belong where they did."""
    with namespaces_of("a") as [name]:
        here, seen = identity(), []
        with inside(name):
            other = threading.Thread(target=lambda: seen.append(identity()))
            other.start()
            other.join()
            main = (NAMESPACES / name).stat().st_ino

        assert seen == [main], "a thread begins where its maker is"
        assert call_inside(name, identity) != here == identity()


@netns
def test_a_failure_inside_leads_out_again() -> None:
    """The namespace is left whatever happens, and the reason is not lost."""
    with namespaces_of("a") as [name]:
        here = identity()

        def fail() -> None:
            raise ValueError("inside")

        with pytest.raises(ValueError, match="inside"), inside(name):
            fail()
        with pytest.raises(ValueError, match="inside"):
            call_inside(name, fail)

        assert identity() == here


@netns
def test_what_is_made_inside_stays_there() -> None:
    """A socket belongs to the namespace it was made in, a device too."""
    with namespaces_of("a") as [name]:
        made = call_inside(name, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with made, pytest.raises(OSError, match="unreachable"):
            made.sendto(b"x", ("192.0.2.1", 9))


@netns
def test_a_name_twice_is_refused_and_leaves_the_first() -> None:
    """Whoever made it may be using it."""
    with namespaces_of("a") as [name]:
        before = identity(name)
        with pytest.raises(KernelError, match="File exists"):
            create_namespace(name)

        assert identity(name) == before


@pytest.mark.parametrize("name", ["", "..", "a/b", "no-such-namespace"])
def test_a_name_that_is_none_is_an_error_with_those_there_are(name: str) -> None:
    """A path is no name."""
    for use in (identity, delete_namespace, lambda n: call_inside(n, identity), Netlink):
        with pytest.raises(HostError, match="no network namespace"):
            use(name)


@netns
def test_a_name_that_nothing_is_mounted_on_can_be_deleted() -> None:
    """A crash between two system calls leaves one."""
    NAMESPACES.mkdir(exist_ok=True)
    path = NAMESPACES / "nlbt-left"
    path.touch()
    delete_namespace(path.name)

    assert not path.exists()


@netns
def test_sysctls_are_those_of_the_namespace() -> None:
    """/proc/sys shows each thread its own."""
    key = "net/ipv4/ip_forward"
    with namespaces_of("a", "b") as [one, other]:
        write_sysctl(key, "1", netns=one)
        write_sysctl(key, "0", netns=other)

        assert read_sysctl(key, netns=one) == "1"
        assert read_sysctl(key, netns=other) == "0"
        assert read_sysctl("net/ipv4/no_such_key", netns=one) is None
        assert sysctl_names("net/ipv4/conf", netns=one) == ["all", "default", "lo"]
        assert sysctl_names("net/ipv4/nothing", netns=one) == []
        with pytest.raises(KernelError, match="cannot set sysctl net/ipv4/ip_forward to x"):
            write_sysctl(key, "x", netns=one)
