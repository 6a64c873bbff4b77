"""Control with its API, as it is started: what it loads and when."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from natlb.cli.control_process import serve
from natlb.control.doors import Door, Doors

if TYPE_CHECKING:
    from pathlib import Path


def test_the_apis_libraries_are_loaded_when_it_is_served() -> None:
    """By then packets are forwarded; and control compiles no kernel."""
    code = "import sys, natlb.cli.control_process; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env={"NATLB_JIT": "0"}
    )
    names = {name.split(".")[0] for name in loaded.stdout.decode().split()}

    assert not names & {"fastapi", "uvicorn", "numba"}


def test_it_answers_until_it_is_cancelled(folder: Path) -> None:
    """On the socket that the supervisor made."""
    import socket

    async def live() -> None:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(folder / "api"))
        listening.listen()
        doors = Doors([Door(listening)])
        serving = asyncio.ensure_future(serve(None, doors))  # type: ignore[arg-type] # nobody asks
        reader, writer = await asyncio.open_unix_connection(str(folder / "api"))
        writer.write(b"GET /v1/nowhere HTTP/1.1\r\nhost: natlb\r\nconnection: close\r\n\r\n")

        assert b"404" in await reader.read(100)
        writer.close()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(live())
