"""The small languages inside a check's values: codes, patterns, payloads, commands.

Each function returns what a value means, or raises `ValueError` with words that say what was
expected.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from natlb.control.config.problems import described, quoted
from natlb.control.config.scalars import parse_address, parse_duration, parse_path

if TYPE_CHECKING:
    from natlb.control.config.values import Address

LEAST_INTERVAL, MOST_INTERVAL = 0.1, 86_400.0
"""Ten checks a second of one backend are load and no check; one a day is no health."""
MOST_COUNT = 100
MOST_JITTER = 0.5
MOST_TEXT = 1024
MOST_ARGUMENTS = 64

_CODES = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_REQUEST_PATH = re.compile(r"/[!-~]*")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_DNS_NAME = re.compile(r"\.|[A-Za-z0-9_*-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,126}\.?")
_HEX = re.compile(r"hex:((?:[0-9A-Fa-f]{2})*)")


def parse_interval(value: object) -> float:
    """Return seconds from one check to the next."""
    seconds = parse_duration(value)
    if not LEAST_INTERVAL <= seconds <= MOST_INTERVAL:
        raise ValueError(f"{described(value)} is not in {LEAST_INTERVAL:g}..{MOST_INTERVAL:g} s")
    return seconds


def parse_jitter(value: object) -> float:
    """Return the share of an interval by which checks spread."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"must be a number, not {described(value)}")  # noqa: TRY004 - one kind of error: bad input
    if not 0 <= value <= MOST_JITTER:
        raise ValueError(f"{described(value)} is not in 0..{MOST_JITTER:g}")
    return float(value)


def parse_check_address(value: object) -> Address:
    """Return an address without a port."""
    return parse_address(_text(value, "an address"))


def parse_codes(value: object) -> tuple[tuple[int, int], ...]:
    """Return the ranges of status codes that `200`, `200-399` or a list of them means, in order."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("is empty; it needs at least one code")
    return tuple(sorted({_codes(item) for item in items}))


def _codes(value: object) -> tuple[int, int]:
    """Return the first and the last code of one item."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    found = _CODES.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(
            "must be a status code or a range of them like 200-399, 100 to 599,"
            f" not {described(value)}"
        )
    first, last = int(found[1]), int(found[2] or found[1])
    if first > last:
        raise ValueError(f"{quoted(found[0])} ends before it begins; write {last}-{first}")
    return first, last


def codes_texts(ranges: tuple[tuple[int, int], ...]) -> list[str]:
    """Return ranges of status codes as they are written."""
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]


def parse_request_path(value: object) -> str:
    """Return what is asked for: a path, and perhaps a query."""
    text = _text(value, "a path like /health")
    if not _REQUEST_PATH.fullmatch(text):
        raise ValueError(
            f"{quoted(text)} is no path: it begins with / and has no space, control or non-ASCII"
            " character; write those as %XX"
        )
    return text


def parse_host(value: object) -> str:
    """Return a host's name or address, and perhaps a port."""
    text = _text(value, "a host's name")
    if not _HOST.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no host's name like www.example.com")
    return text


def parse_sni(value: object) -> str:
    """Return a host's name alone."""
    text = _text(value, "a host's name")
    if not _DNS_NAME.fullmatch(text) or text == ".":
        raise ValueError(f"{quoted(text)} is no host's name like www.example.com")
    return text


def parse_dns_name(value: object) -> str:
    """Return a name that a name server can be asked for."""
    text = _text(value, "a name like www.example.com")
    if not _DNS_NAME.fullmatch(text) or len(text) > 254:
        raise ValueError(f"{quoted(text)} is no name like www.example.com")
    return text


def parse_service_name(value: object) -> str:
    """Return the name that a gRPC server is asked about, which may be empty."""
    if value == "":
        return ""
    text = _text(value, "a service's name")
    if not text.isascii():
        raise ValueError(f"{quoted(text)} is no service's name like package.Service")
    return text


def parse_pattern(value: object) -> str:
    """Return a regular expression, as it is searched for in octets."""
    text = _text(value, "a regular expression")
    try:
        re.compile(text.encode())
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{quoted(text)} is no regular expression: {error}") from None
    return text


def parse_payload(value: object) -> bytes:
    """Return octets, of a text or of `hex:` and hexadecimal digits."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, or hex: and digits, not {described(value)}")  # noqa: TRY004 - one kind of error: bad input
    if len(value) > 2 * MOST_TEXT:
        raise ValueError(f"is longer than {MOST_TEXT} octets")
    if not value.startswith("hex:"):
        return value.encode()
    if not (found := _HEX.fullmatch(value)):
        raise ValueError(f"{quoted(value)} is not hex: and pairs of hexadecimal digits")
    return bytes.fromhex(found[1])


def payload_text(octets: bytes) -> str:
    """Return what `parse_payload` reads as these octets: text where it prints."""
    text = octets.decode("ascii", "replace")
    plain = text.isascii() and text.isprintable() and not text.startswith("hex:")
    return text if plain and text else f"hex:{octets.hex()}"


def parse_command(value: object) -> tuple[str, ...]:
    """Return a program and its arguments; no shell ever reads them."""
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError(
            "must be a list of texts like [/usr/local/bin/check, --fast]: no shell reads it;"
            f" not {described(value)}"
        )
    if not 1 <= len(value) <= MOST_ARGUMENTS:
        raise ValueError(f"must have 1 to {MOST_ARGUMENTS} words, not {len(value)}")
    for word in value[1:]:
        if not word.isprintable() or len(word) > MOST_TEXT:
            raise ValueError(f"{quoted(word)} cannot be an argument: too long, or does not print")
    return (parse_path(value[0]), *value[1:])


def _text(value: object, wanted: str) -> str:
    """Return text that prints, and is not endless."""
    if not isinstance(value, str):
        raise ValueError(f"must be {wanted}, not {described(value)}")  # noqa: TRY004 - one kind of error: bad input
    if not value or len(value) > MOST_TEXT or not value.isprintable():
        raise ValueError(f"must be {wanted}, not {described(value)}")
    return value
