"""`drain --wait`: until a backend has no flow in use, or until a deadline, told all the while.

    0     it has none left; what both ends have closed stays in the table for minutes and is over
    1     the deadline came, and what was left was reset at both ends; or somebody else ended it
    130   interrupted: it stays draining

The wait asks for the backend once a second. An instance that does not answer for a moment, as its
control is replaced, is asked again.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from natlb.cli.output import note, say
from natlb.errors import UnavailableError, UnknownNameError
from natlb.model import FlowFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.cli.options import BackendName, Terms
    from natlb.model import Backend

SECONDS_A_LOOK = 1.0
SECONDS_WITHOUT_ANSWER = 30.0
FOUND_WANTING = 1


class Draining:
    """One backend's way to no flow in use."""

    def __init__(
        self,
        terms: Terms,
        backend: BackendName,
        deadline: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Wait for this backend; `deadline` in seconds from now, None: as long as it takes."""
        self._terms = terms
        self._backend = backend
        self._name = "/".join(backend)
        self._deadline = deadline
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self._heard = self._began
        self._left = 0
        self._is_live = not terms.json and sys.stdout.isatty()

    def run(self) -> int:
        """Have the backend drain, and return the exit code."""
        now = self._terms.client.set_backend(*self._backend, state="draining")
        try:
            return self._wait(now)
        except KeyboardInterrupt:
            self._end_line()
            note(f"{self._name} stays draining; natlb ready {self._name} gives it new flows again")
            raise

    def _wait(self, now: Backend | None) -> int:
        while True:
            if now is not None:
                code = self._judge(now)
                if code is not None:
                    return code
            self._sleep(SECONDS_A_LOOK if now is None else self._seconds_to_next_look())
            now = self._look()

    def _judge(self, now: Backend) -> int | None:
        """Tell what is left, and return the exit code if that was all."""
        left = self._left = self._in_use(now)
        if now.state == "ready":
            self._tell(now, "ready")
            note(f"{self._name} was made ready meanwhile, and drains no more")
            return FOUND_WANTING
        if left == 0:
            self._tell(now, "empty")
            return 0
        if self._deadline is not None and self._elapsed() >= self._deadline:
            self._tell(now, "cut")
            wanted = FlowFilter(service=now.service, backend=now.name)
            done = self._terms.client.flush(wanted, reset=True)
            note(f"deadline: {flows(done.flushed)} dropped, {done.resets} resets sent")
            return FOUND_WANTING
        self._tell(now, None)
        return None

    def _in_use(self, now: Backend) -> int:
        """Return how many flows somebody waits for: those that both ends have closed do not count.

        Where that cannot be asked at the moment, all count.
        """
        if now.flows.current == 0:
            return 0
        closed = FlowFilter(service=now.service, backend=now.name, state="closing")
        try:
            over = self._terms.client.flush(closed, dry_run=True).flushed
        except UnavailableError:
            over = 0
        return max(0, now.flows.current - over)

    def _look(self) -> Backend | None:
        """Return the backend, None while the instance does not answer."""
        try:
            pool = self._terms.client.backends(self._backend.service)
        except UnavailableError:
            if self._clock() - self._heard > SECONDS_WITHOUT_ANSWER:
                raise
            return None
        self._heard = self._clock()
        for each in pool:
            if each.name == self._backend.name:
                return each
        raise UnknownNameError(f"{self._name} was removed meanwhile", fix="natlb backends")

    def _elapsed(self) -> float:
        return self._clock() - self._began

    def _seconds_to_next_look(self) -> float:
        """Return a second, or less where the deadline comes before."""
        if self._deadline is None:
            return SECONDS_A_LOOK
        return max(0.0, min(SECONDS_A_LOOK, self._deadline - self._elapsed()))

    def _tell(self, now: Backend, result: str | None) -> None:
        """Show how far it is: a line that changes on a terminal, else one line after the other."""
        if self._terms.json:
            say(json.dumps(self._document(now, result)), self._terms)
        else:
            text = f"{self._name}: {now.state}, {flows(self._left)} left"
            text += f", {self._elapsed():.0f} s"
            if self._is_live:
                click.echo(f"\r\x1b[K{text}", nl=result is not None)
            else:
                say(text, self._terms)
        sys.stdout.flush()

    def _document(self, now: Backend, result: str | None) -> dict[str, object]:
        return {
            "service": now.service,
            "name": now.name,
            "state": now.state,
            "flows": self._left,
            "elapsed_seconds": round(self._elapsed(), 3),
            "result": result,
        }

    def _end_line(self) -> None:
        if self._is_live:
            click.echo()


def flows(count: int) -> str:
    """Return a number of flows in words."""
    return f"{count} flow{'' if count == 1 else 's'}"
