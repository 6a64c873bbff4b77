"""`dns`: a question over UDP, and its answer: NOERROR, or one that holds what is expected."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from natlb.control.health.codes import Code
from natlb.control.health.probes.udp import exchange
from natlb.control.health.steps import Failure, shown

if TYPE_CHECKING:
    from natlb.control.config.values import CheckConfig
    from natlb.control.health.probe import Target
    from natlb.control.health.sockets import OpenSocket
    from natlb.control.health.steps import Steps


async def ask(
    check: CheckConfig, target: Target, steps: Steps, open_socket: OpenSocket
) -> tuple[Code, str]:
    """Ask for the record, with recursion, and look at the answer."""
    query = dns.message.make_query(check.name, check.record)
    octets = await exchange(query.to_wire(), target, steps, open_socket)
    answer = _parse(octets)
    if not query.is_response(answer):
        raise Failure(Code.L7RSP, "an answer to another question")
    rcode = dns.rcode.to_text(answer.rcode())
    values = _values(answer, check.record)
    steps.saw(shown(f"{rcode}, {', '.join(values) or 'no such record'}"))
    if answer.rcode() != dns.rcode.NOERROR:
        raise Failure(Code.L7STS, f"{rcode} for {check.name} {check.record}")
    if check.expect is None:
        return Code.L7OK, rcode
    if _plain(check.expect) in values:
        return Code.L7OK, f"{rcode}, {check.expect} is there"
    cut = ", cut short" if answer.flags & dns.flags.TC else ""
    raise Failure(
        Code.L7RSP, shown(f"{check.expect} is not in the answer{cut}: {', '.join(values)}")
    )


def _parse(octets: bytes) -> dns.message.Message:
    try:
        return dns.message.from_wire(octets)
    except Exception as error:  # noqa: BLE001 - whatever the library says of a stranger's octets
        raise Failure(Code.L7RSP, f"no DNS that can be read: {shown(str(error))}") from None


def _values(answer: dns.message.Message, record: str) -> list[str]:
    """Return the values of the records of this type, each in its plain spelling."""
    kind = dns.rdatatype.from_text(record)
    sets = (each for each in answer.answer if each.rdtype == kind)
    return [_plain(str(value)) for each in sets for value in each]


def _plain(value: str) -> str:
    """Return a value as it is compared: addresses by meaning, names without case and last dot."""
    try:
        return str(ip_address(value))
    except ValueError:
        return value.lower().rstrip(".")
