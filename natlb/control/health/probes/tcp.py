"""`tcp`: whether a connection can be made. It is reset at once, as HAProxy's check is."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from natlb.control.health.codes import Code
from natlb.control.health.sockets import connected, reset

if TYPE_CHECKING:
    from natlb.control.config.values import CheckConfig
    from natlb.control.health.probe import Target
    from natlb.control.health.sockets import OpenSocket
    from natlb.control.health.steps import Steps


async def ask(
    check: CheckConfig,  # noqa: ARG001 - nothing more is asked
    target: Target,
    steps: Steps,
    open_socket: OpenSocket,
) -> tuple[Code, str]:
    """Connect."""
    reset(await connected(target, socket.SOCK_STREAM, steps, open_socket))
    return Code.L4OK, "connected"
