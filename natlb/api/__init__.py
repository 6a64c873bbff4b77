"""The API: HTTP and JSON over the Unix socket.

app      paths to methods of the instance
metrics  all counters, for a monitor; exposition writes them down
answers  values and errors as JSON; large lists in pieces
limits   what a request may weigh
server   what a connection may do: how many, how slow, how malformed

It reads snapshots and sends intents; what they mean is decided behind `control.instance`.
"""

from __future__ import annotations

from natlb.api.app import create_app
from natlb.api.server import serve

__all__ = ["create_app", "serve"]
