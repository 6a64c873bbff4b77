from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.config import check_words

if TYPE_CHECKING:
    from collections.abc import Callable

HUGE = "x" * 100_000
HOSTILE: list[object] = ["", "a\nb", "a\0b", HUGE, None, 5, True, ["a"], {}]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (200, ((200, 200),)),
        ("204", ((204, 204),)),
        ("200-399", ((200, 399),)),
        (["300-399", 200, "200"], ((200, 200), (300, 399))),
    ],
)
def test_codes_are_numbers_and_ranges(written: object, meant: object) -> None:
    """In order, each once."""
    assert check_words.parse_codes(written) == meant


@pytest.mark.parametrize(
    "value", [[], 99, 600, "200-", "399-200", True, 200.0, "2xx", None, [[200]], 10**400, HUGE]
)
def test_what_is_no_code_is_refused(value: object) -> None:
    """In words, whatever it is."""
    with pytest.raises(ValueError, match=r"code|ends before|must be"):
        check_words.parse_codes(value)


@pytest.mark.parametrize(
    "parse",
    [
        check_words.parse_request_path,
        check_words.parse_host,
        check_words.parse_sni,
        check_words.parse_dns_name,
        check_words.parse_pattern,
        check_words.parse_check_address,
        check_words.parse_command,
        check_words.parse_interval,
        check_words.parse_jitter,
    ],
)
@pytest.mark.parametrize("value", [*HOSTILE, "(a b"], ids=lambda value: repr(value)[:9])
def test_what_cannot_be_is_refused_in_words(
    parse: Callable[[object], object], value: object
) -> None:
    """No other exception leaves: what a file says is never a bug of natlb's."""
    if value == 5 and parse is check_words.parse_interval:
        return  # seconds
    with pytest.raises(ValueError, match=r"must|is no|is not|has no"):
        parse(value)


@pytest.mark.parametrize("path", ["/", "/health?deep=1", "/a%20b", "/;$()"])
def test_a_request_asks_for_a_path(path: str) -> None:
    """As it goes over the wire."""
    assert check_words.parse_request_path(path) == path


@pytest.mark.parametrize("path", ["health", "/a b", "/ä", "http://x/"])
def test_a_path_that_would_be_another_request_is_refused(path: str) -> None:
    """A space would end it."""
    with pytest.raises(ValueError, match="is no path"):
        check_words.parse_request_path(path)


@pytest.mark.parametrize("host", ["www.example.com", "a:8080", "10.0.0.1", "[fd00::1]:80", "x_y"])
def test_a_host_may_have_a_port(host: str) -> None:
    """As in the header."""
    assert check_words.parse_host(host) == host


def test_names_are_of_dns() -> None:
    """The root too, but nobody has a certificate for it."""
    assert check_words.parse_dns_name(".") == "."
    assert check_words.parse_dns_name("_sip._tcp.example.com.") == "_sip._tcp.example.com."
    assert check_words.parse_sni("www.example.com") == "www.example.com"
    for parse, name in ((check_words.parse_sni, "."), (check_words.parse_dns_name, "a..b")):
        with pytest.raises(ValueError, match="is no"):
            parse(name)


def test_a_service_of_grpc_may_have_no_name() -> None:
    """That is the whole server."""
    assert check_words.parse_service_name("") == ""
    assert check_words.parse_service_name("shop.Cart") == "shop.Cart"
    with pytest.raises(ValueError, match="is no service's name"):
        check_words.parse_service_name("käse")


def test_a_pattern_is_a_regular_expression() -> None:
    """A mistake in it is the configuration's, not the check's."""
    assert check_words.parse_pattern("^(ok|fine)$") == "^(ok|fine)$"
    for wrong in ("(", "a{99999999999}", "[z-a]"):
        with pytest.raises(ValueError, match="is no regular expression"):
            check_words.parse_pattern(wrong)


@given(st.binary(max_size=200))
def test_a_payload_that_is_shown_reads_the_same(octets: bytes) -> None:
    """Text where it prints, and digits where it does not."""
    assert check_words.parse_payload(check_words.payload_text(octets)) == octets


def test_a_payload_is_text_or_digits() -> None:
    """`hex:` says which."""
    assert check_words.parse_payload("PING\r\n") == b"PING\r\n"
    assert check_words.parse_payload("hex:00fF") == b"\x00\xff"
    assert check_words.payload_text(b"PING") == "PING"
    for wrong in ("hex:0", "hex:zz", HUGE, 5, None):
        with pytest.raises(ValueError, match=r"hex:|longer"):
            check_words.parse_payload(wrong)


def test_a_command_is_a_list() -> None:
    """A text would have to be split, and that is what shells do."""
    given = ["/usr/bin/check", "-x", "a b;$()", ""]

    assert check_words.parse_command(given) == tuple(given)
    for wrong in ("/usr/bin/check -x", [], ["check"], ["/c", 5], ["/c", "a\nb"], ["/c"] * 65):
        with pytest.raises(ValueError, match=r"must|cannot"):
            check_words.parse_command(wrong)


@pytest.mark.parametrize("value", [0.1, "500ms", "1d"])
def test_checks_are_made_in_time(value: object) -> None:
    """From ten a second to one a day."""
    assert 0.1 <= check_words.parse_interval(value) <= 86_400


@pytest.mark.parametrize("value", [0, 0.09, "2d", True])
def test_checks_beyond_that_are_none(value: object) -> None:
    """Faster ones would be load, slower ones no health."""
    with pytest.raises(ValueError, match=r"not in 0\.1|must be"):
        check_words.parse_interval(value)


@pytest.mark.parametrize("value", [0, 0.5, 0.25])
def test_jitter_is_half_of_the_interval_at_most(value: float) -> None:
    """It shortens waits."""
    assert check_words.parse_jitter(value) == value
    with pytest.raises(ValueError, match=r"not in 0\.\.0\.5"):
        check_words.parse_jitter(value + 0.6)
