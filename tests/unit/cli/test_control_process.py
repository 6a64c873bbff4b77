"""Control with the API that it serves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import natlb.api
from natlb.cli.control_process import serve


def test_the_api_is_what_is_served(monkeypatch) -> None:
    """Control may not know it: here the two meet."""
    served: list[Any] = []

    async def serve_api(*given: Any) -> None:
        served.extend(given)

    monkeypatch.setattr(natlb.api, "serve", serve_api)
    asyncio.run(serve("instance", "socket"))  # type: ignore[arg-type]

    assert served == ["instance", "socket"]


def test_the_api_is_not_loaded_before_it_is_served() -> None:
    """Its libraries take half a second, which packets need not wait for."""
    code = "import natlb.cli.control_process, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert "natlb.control.main" in loaded
    assert not {"fastapi", "uvicorn"} & set(loaded)
