"""A process lab with the processes of `crowd` as its client and its backends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import Any

from natlb.netlink import call_inside
from tests.netns.process_lab import BACKENDS, MARK, ROOT, VIP, ProcessLab

PORT = "9000"


class CrowdLab(ProcessLab):
    """The network and natlb, and the crowd's processes."""

    def __init__(self, name: str) -> None:
        """Start nothing yet."""
        super().__init__(name)
        self._crowd: list[subprocess.Popen[str]] = []

    def start_servers(self) -> None:
        """Have both backends serve."""
        for name, address in BACKENDS.items():
            server = self._start(self.hosts[name], "server", address, "8090", name)
            assert server.stdout is not None
            assert server.stdout.readline() == "serving\n"

    def start_client(self, kind: str, *words: str) -> subprocess.Popen[str]:
        """Start a client of this kind."""
        return self._start(self.client, kind, VIP, PORT, *words)

    def _start(self, namespace: str, *words: str) -> subprocess.Popen[str]:
        process = call_inside(
            namespace,
            lambda: subprocess.Popen(
                [sys.executable, "-m", "tests.netns.crowd", *words],
                cwd=ROOT,
                env=os.environ | {MARK: self.gateway},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ),
        )
        self._crowd.append(process)
        return process

    def __exit__(self, *_: object) -> None:
        """Leave nothing, whatever happened."""
        for process in self._crowd:
            process.kill()
            process.wait(20)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()
        super().__exit__()


class Crowd:
    """The client that keeps its connections, and what it sees."""

    def __init__(self, lab: CrowdLab, connections: int, flows: int, seconds: float) -> None:
        """Open everything."""
        self.connections = connections
        counts = (str(connections), str(flows), str(seconds))
        self._process = lab.start_client("client", *counts)
        assert self._line() == {"open": connections}

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def seen(self) -> Any:
        """Return what the client saw since it was asked last."""
        assert self._process.stdin is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return self._line()

    def talk(self) -> list[str]:
        """Return what failed, once as many echoes came back as there are connections."""
        echoes = 0
        deadline = time.monotonic() + 60
        while echoes < self.connections:
            assert time.monotonic() < deadline, "the connections do not get through a round"
            time.sleep(0.2)
            found = self.seen()
            if found["failures"]:
                failures: list[str] = found["failures"]
                return failures
            echoes += found["echoes"]
        return []
