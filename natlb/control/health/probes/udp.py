"""`udp`: a payload, and what comes back.

The socket is connected, so the kernel tells what the backend's host says: port unreachable is a
refusal. With `expect` the first datagram that comes back decides. Without it, silence passes, as
many services of UDP answer nobody they do not know: then every check lasts its whole timeout.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from natlb.control.health.codes import Code
from natlb.control.health.matching import TooCostlyError, found
from natlb.control.health.sockets import connected
from natlb.control.health.steps import DATAGRAM, SEND_DATAGRAM, SILENCE, Failure, shown

if TYPE_CHECKING:
    from natlb.control.config.values import CheckConfig
    from natlb.control.health.probe import Target
    from natlb.control.health.sockets import OpenSocket
    from natlb.control.health.steps import Step, Steps

LARGEST = 65535


async def ask(
    check: CheckConfig, target: Target, steps: Steps, open_socket: OpenSocket
) -> tuple[Code, str]:
    """Send the payload, and look at the first datagram that comes back."""
    step = SILENCE if check.expect is None else DATAGRAM
    answer = await exchange(check.send, target, steps, open_socket, step)
    if check.expect is None:
        return Code.L4OK, f"answered: {shown(answer, 60)}"
    try:
        if found(check.expect, answer):
            return Code.L7OK, "the answer matches"
    except TooCostlyError:
        raise Failure(Code.L7RSP, "matching this answer takes too long") from None
    raise Failure(Code.L7RSP, f"the answer does not match: {shown(answer, 60)}")


async def exchange(
    payload: bytes, target: Target, steps: Steps, open_socket: OpenSocket, step: Step = DATAGRAM
) -> bytes:
    """Return what comes back for this payload; `step` says what it means if nothing does."""
    made = await connected(target, socket.SOCK_DGRAM, steps, open_socket)
    with made:
        loop = asyncio.get_running_loop()
        steps.begin(SEND_DATAGRAM)
        steps.saw(f"{len(payload)} octets: {shown(payload, 60)}")
        await loop.sock_sendall(made, payload)
        steps.begin(step)
        answer = await loop.sock_recv(made, LARGEST)
        steps.saw(f"{len(answer)} octets: {shown(answer, 60)}")
    return answer
