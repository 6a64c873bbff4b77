from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.config.scalars import (
    parse_duration,
    parse_endpoint,
    parse_listen,
    parse_mss_clamp,
    parse_name,
    parse_path,
    parse_ports,
    parse_prefix,
    parse_seed,
    parse_side,
    parse_source,
)
from natlb.control.config.values import Listen, NetnsSide, endpoint


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (30, 30.0),
        (0.5, 0.5),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1m", 60.0),
        ("1.5m", 90.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("24d", 2073600.0),
        (0.001, 0.001),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(value: object, seconds: float) -> None:
    """All the units that the docs name."""
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("30", "must be seconds"),
        ("30 s", "must be seconds"),
        ("1h30m", "must be seconds"),
        ("-1s", "must be seconds"),
        ("1w", "must be seconds"),
        ("\u0663s", "must be seconds"),
        ("9" * 10_000 + "s", "must be seconds"),
        (True, "must be seconds"),
        ([], "must be seconds"),
        (0, "must be longer than 0, not 0"),
        (-5, "must be longer than 0, not -5"),
        (float("nan"), "must be longer than 0, not nan"),
        ("0s", "must be longer than 0"),
        (0.0001, "less than a millisecond"),
        ("25d", "more than 24 days, which is all that 32 bits of milliseconds can hold"),
        (float("inf"), "more than 24 days"),
        pytest.param(10**5000, "a huge number is more than 24 days", id="huge"),
    ],
)
def test_what_is_no_duration_is_refused(value: object, message: str) -> None:
    """A text without a unit may be anything; more than 24 days does not fit the table."""
    with pytest.raises(ValueError, match=message):
        parse_duration(value)


def test_a_listen_is_a_protocol_an_address_and_a_port() -> None:
    """And prints as it is written."""
    assert parse_listen("tcp://203.0.113.10:80") == Listen("tcp", IPv4Address("203.0.113.10"), 80)
    assert str(parse_listen("udp://[2001:DB8::0:1]:53")) == "udp://[2001:db8::1]:53"


@pytest.mark.parametrize("text", ["tcp://203.0.113.10:8000-8009", "udp://[2001:db8::1]:1-65535"])
def test_a_listen_may_be_a_range_of_ports(text: str) -> None:
    """And prints as it is written, too."""
    assert str(parse_listen(text)) == text


def test_a_range_of_one_port_is_that_port() -> None:
    """Two that mean the same are equal."""
    one = parse_listen("tcp://203.0.113.10:80")

    assert parse_listen("tcp://203.0.113.10:80-80") == one
    assert parse_listen("tcp://203.0.113.10:80-81").ports == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (80, r"must be like tcp://203\.0\.113\.10:80, not 80"),
        ("", "'' is not an IP address"),
        ("tcp://", "'' is not an IP address"),
        ("203.0.113.10:80", "write tcp://203.0.113.10:80 or udp://203.0.113.10:80"),
        ("http://203.0.113.10:80", "has no protocol that natlb carries"),
        ("TCP://203.0.113.10:80", "has no protocol that natlb carries"),
        ("tcp://203.0.113.10", "has no port; write it like tcp://203.0.113.10:80"),
        ("udp://2001:db8::1", r"has no port; write it like udp://\[2001:db8::1\]:80"),
        ("tcp://203.0.113.10:0", "port 0 is not in 1..65535"),
        ("tcp://203.0.113.10:70000", "port 70000 is not in 1..65535"),
        ("tcp://203.0.113.10:" + "9" * 5000, "port 9999"),
        ("tcp://203.0.113.10:http", "port 'http' is not a number"),
        ("tcp://203.0.113.10:\u0668\u0660", "is not a number"),
        ("tcp://203.0.113.10:", "port '' is not a number"),
        ("tcp://203.0.113.10:80/", "port '80/' is not a number"),
        ("tcp://example.org:80", "'example.org' is not an IP address"),
        ("tcp://203.0.113.010:80", "is not an IP address"),
        ("tcp://[203.0.113.10]:80", "brackets are for IPv6 addresses"),
        ("tcp://[2001:db8::1:80", "is not ADDRESS or ADDRESS:PORT"),
        ("tcp:// 203.0.113.10:80", "is not an IP address"),
        ("tcp://203.0.113.10:80\n", "is not a number"),
        ("tcp://203.0.113.10:9-8", "'9-8' ends before it begins; write 8-9"),
        ("tcp://203.0.113.10:0-8", r"port 0 is not in 1\.\.65535"),
        ("tcp://203.0.113.10:8-65536", r"port 65536 is not in 1\.\.65535"),
        ("tcp://203.0.113.10:8-", "must be a range of ports like 1024-65535, not '8-'"),
        ("tcp://203.0.113.10:8 - 9", "must be a range of ports like 1024-65535"),
        ("tcp://2001:db8::1:8-9", r"write \[2001:db8::1\]:8-9: an IPv6 address"),
        ("203.0.113.10:8-9", "write tcp://203.0.113.10:8-9 or udp://203.0.113.10:8-9"),
        ("tcp://8-9", "'8-9' is not an IP address"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_listen_is_refused(value: object, message: str) -> None:
    """With what it should look like."""
    with pytest.raises(ValueError, match=message):
        parse_listen(value)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("10.77.0.11", "10.77.0.11", None),
        ("10.77.0.11:8080", "10.77.0.11", 8080),
        ("fd00::1", "fd00::1", None),
        ("[fd00::1]", "fd00::1", None),
        ("[fd00::1]:8080", "fd00::1", 8080),
    ],
)
def test_an_endpoint_is_an_address_with_or_without_a_port(
    text: str, address: str, port: int | None
) -> None:
    """IPv6 without a port may go without brackets."""
    assert (str(parse_endpoint(text)[0]), parse_endpoint(text)[1]) == (address, port)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_endpoint_reads_back_as_it_prints(address: IPv4Address | IPv6Address, port: int) -> None:
    """Unless it is an address that nothing may be sent to."""
    try:
        assert parse_endpoint(endpoint(address, port)) == (address, port)
    except ValueError as error:
        assert str(address) in str(error)  # noqa: PT017 - either way is right


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", "the unspecified address"),
        ("0.1.2.3", "an address of no network"),
        ("127.0.0.1", "a loopback address"),
        ("169.254.1.1", "a link-local address"),
        ("224.0.0.1", "a multicast address"),
        ("239.255.255.255", "a multicast address"),
        ("240.0.0.1", "a reserved address"),
        ("255.255.255.255", "the broadcast address"),
        ("::", "the unspecified address"),
        ("::1", "a loopback address"),
        ("::ffff:10.0.0.1", "an IPv4-mapped address"),
        ("fe80::1", "a link-local address"),
        ("febf::1", "a link-local address"),
        ("ff02::1", "a multicast address"),
        ("fe80::1%eth0", "has a zone"),
        ("2001:db8::1%eth0", "has a zone"),
    ],
)
def test_an_address_that_packets_cannot_be_sent_to_is_refused(address: str, kind: str) -> None:
    """The core drops them as martians; a configuration with one would be a silent hole."""
    with pytest.raises(ValueError, match=kind):
        parse_endpoint(address)


@pytest.mark.parametrize("name", ["web", "80", "a.b-c_d", "x" * 64, ".", "Web"])
def test_a_name_is_letters_digits_dots_and_dashes(name: str) -> None:
    """It stands in paths and filters."""
    assert parse_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "x" * 65, "a\n", 80, None, "a:b"])
def test_what_is_no_name_is_refused(name: object) -> None:
    """A slash would break `service/backend`."""
    with pytest.raises(ValueError, match="is no name"):
        parse_name(name)


def test_a_side_is_interfaces_or_a_namespace() -> None:
    """Interfaces of natlb's own namespace, or the side is another one."""
    assert parse_side(["eth0", "eth0.100", "bond-1"]) == ("eth0", "eth0.100", "bond-1")
    assert parse_side({"netns": "private"}) == NetnsSide("private")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("eth0", r"must be a list of interfaces like \[eth0\], or {netns: NAME}, not 'eth0'"),
        ([], "not an empty list"),
        ({}, "not a mapping"),
        ({"netns": "a", "b": 1}, "not a mapping"),
        (["eth0", "eth0"], "names an interface twice"),
        (["x" * 16], "cannot be an interface's name"),
        (["a/b"], "cannot be an interface's name"),
        (["a:b"], "cannot be an interface's name"),
        ([".."], "cannot be an interface's name"),
        (["a b"], "cannot be an interface's name"),
        ([7], "cannot be an interface's name"),
        ({"netns": "../x"}, "cannot be a network namespace's name"),
        ({"netns": ".."}, "cannot be a network namespace's name"),
        ({"netns": 5}, "cannot be a network namespace's name"),
    ],
)
def test_what_is_no_side_is_refused(value: object, message: str) -> None:
    """Names as the kernel takes them; a path would leave /run/netns."""
    with pytest.raises(ValueError, match=message):
        parse_side(value)


@pytest.mark.parametrize("value", ["var/lib", "", 5, None, "/a\nb", "/" + "x" * 4096, "/\ud800"])
def test_what_is_no_absolute_path_is_refused(value: object) -> None:
    """A daemon has no directory to be relative to."""
    with pytest.raises(ValueError, match="path"):
        parse_path(value)


def test_a_backend_has_no_range_of_ports() -> None:
    """Without a port it has all that are called."""
    with pytest.raises(ValueError, match="'80-90' is a range, which only `listen` takes"):
        parse_endpoint("10.0.0.1:80-90")


def test_a_range_of_ports_is_its_ends() -> None:
    """Both are in it."""
    assert parse_ports("1024-65535") == (1024, 65535)
    assert parse_ports("7-7") == (7, 7)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1024, "like 1024-65535, not 1024; write 1024-1024 for that one alone"),
        ("1024", "like 1024-65535, not '1024'; write 1024-1024 for that one alone"),
        (1 << 64, "must be a range of ports like 1024-65535, not a huge number"),
        (True, "must be a range of ports like 1024-65535, not true"),
        ("0-1", "port 0 is not in"),
        ("2-1", "ends before it begins; write 1-2"),
    ],
)
def test_what_is_no_range_of_ports_is_refused(value: object, message: str) -> None:
    """With one that is."""
    with pytest.raises(ValueError, match=message):
        parse_ports(value)


@pytest.mark.parametrize(
    ("text", "first", "last", "count"),
    [
        ("10.77.0.100", "10.77.0.100", "10.77.0.100", 1),
        ("10.77.0.254-10.77.1.1", "10.77.0.254", "10.77.1.1", 4),
        ("10.77.0.96/28", "10.77.0.96", "10.77.0.111", 16),
        ("10.77.0.0/22", "10.77.0.0", "10.77.3.255", 1024),
        ("fd00:77::fffe-fd00:77::1:1", "fd00:77::fffe", "fd00:77::1:1", 4),
        ("fd00:77::/126", "fd00:77::", "fd00:77::3", 4),
    ],
)
def test_a_source_is_addresses_in_order(text: str, first: str, last: str, count: int) -> None:
    """The ends included, and of a prefix every address."""
    addresses = parse_source(text)

    assert (str(addresses[0]), str(addresses[-1]), len(addresses)) == (first, last, count)
    assert sorted(set(addresses), key=int) == list(addresses)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "must be an address, a range like 10.77.0.100-10.77.0.110 or a prefix, not 5"),
        ("", "'' is not an IP address"),
        ("10.77.0.1-", "'' is not an IP address"),
        ("10.77.0.1-10", "'10.77.0.1-10': both ends must be whole addresses"),
        ("10.77.0.1 - 10.77.0.2", "is not an IP address"),
        ("10.77.0.2-10.77.0.1", "ends before it begins; write 10.77.0.1-10.77.0.2"),
        ("10.77.0.1-fd00::1", "both ends must be of one IP version"),
        ("10.77.0.0/21", "is 2048 addresses, more than 1024"),
        ("fd00::/64", "is 18446744073709551616 addresses, more than 1024"),
        ("10.77.0.1/28", "has bits set behind its length; write 10.77.0.0/28, or 10.77.0.1"),
        ("10.77.0.0/33", "is no prefix and no IP address"),
        ("127.0.0.1", "127.0.0.1 is a loopback address"),
        ("223.255.255.255-224.0.0.1", "is a multicast address"),
        ("127.0.0.0/30", "is a loopback address"),
        ("fe80::1%eth0", "has a zone"),
    ],
)
def test_what_is_no_source_is_refused(value: object, message: str) -> None:
    """Nothing can answer to it."""
    with pytest.raises(ValueError, match=message):
        parse_source(value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("198.51.100.0/24", "198.51.100.0/24"),
        ("198.51.100.7", "198.51.100.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("127.0.0.0/8", "127.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("::/0", "::/0"),
    ],
)
def test_a_prefix_is_clients_or_one_client(text: str, shown: str) -> None:
    """Any: who may never call may be denied, too."""
    assert str(parse_prefix(text)) == shown


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (10, "must be a prefix like 198.51.100.0/24 or an address, not 10"),
        ("10.0.0.1/8", "write 10.0.0.0/8, or 10.0.0.1 for that one address"),
        ("2001:db8::1/64", "write 2001:db8::/64, or 2001:db8::1 for"),
        ("10.0.0.0/8/8", "is no prefix and no IP address"),
        ("10.0.0.0-10.0.0.9", "is no prefix and no IP address"),
        ("example.com", "is no prefix and no IP address"),
        ("::ffff:10.0.0.0/104", "is of IPv4-mapped addresses; write it as IPv4"),
        ("fe80::1%eth0", "has a zone"),
    ],
)
def test_what_is_no_prefix_is_refused(value: object, message: str) -> None:
    """What has bits set behind its length could mean either of two things."""
    with pytest.raises(ValueError, match=message):
        parse_prefix(value)


@pytest.mark.parametrize("value", [True, False, 88, 1460, 65495])
def test_a_clamp_is_a_word_or_a_number(value: object) -> None:
    """Both ends of the range are in it."""
    assert parse_mss_clamp(value) is value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("yes", "must be false, true or a number of octets, not 'yes'"),
        (1460.0, "must be false, true or a number of octets, not 1460.0"),
        (87, r"87 is not in 88\.\.65495"),
        (65496, r"65496 is not in 88\.\.65495"),
        (0, "0 is not in"),
    ],
)
def test_what_is_no_clamp_is_refused(value: object, message: str) -> None:
    """0 and 1 are no words for false and true."""
    with pytest.raises(ValueError, match=message):
        parse_mss_clamp(value)


@pytest.mark.parametrize(
    ("value", "seed"),
    [
        (0, 0),
        ((1 << 64) - 1, (1 << 64) - 1),
        ("ff", 255),
        ("0xFF", 255),
        ("0123456789abcdef\n", 0x0123456789ABCDEF),
        ("10", 16),
    ],
)
def test_a_seed_is_a_number_or_hexadecimal_digits(value: object, seed: int) -> None:
    """As the state directory's file has them."""
    assert parse_seed(value) == seed


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (-1, "-1 is not in 0..18446744073709551615"),
        (1 << 64, "a huge number is not in 0..18446744073709551615"),
        (1.0, "at most 16 hexadecimal digits in quotes, not 1.0"),
        (12345678e123, "in quotes, not 1.2345678e+130"),
        (True, "not true"),
        ("", "not ''"),
        ("xyz", "not 'xyz'"),
        ("0" * 17, "at most 16 hexadecimal digits"),
        (None, "not nothing"),
        ([1], "not a list"),
    ],
)
def test_what_is_no_seed_is_refused(value: object, sentence: str) -> None:
    """Nodes that should agree must not be told two things."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_seed(value)
