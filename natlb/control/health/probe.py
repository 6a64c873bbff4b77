"""One check of one backend: asked now, told in steps, over at its timeout.

Laws
    `probe` raises nothing but its own cancellation, takes no longer than `check.timeout`, and
    closes all that it opened.
    What says nothing of the backend (no fd left, no such source address, natlb itself late) is a
    result whose status is None: it counts neither for the backend nor against it.
    Only addresses and ports of the configuration are asked.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

from natlb.control.config.check_types import check_port
from natlb.control.config.values import endpoint
from natlb.control.events import rfc3339
from natlb.control.health.codes import PASSING, Code
from natlb.control.health.sockets import OURS, open_here
from natlb.control.health.steps import OPEN, Failure, Steps, shown
from natlb.errors import NatlbError
from natlb.model import CheckReport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from natlb.control.config.values import (
        Address,
        BackendConfig,
        CheckConfig,
        ServiceConfig,
    )
    from natlb.control.health.sockets import OpenSocket
    from natlb.model import CheckPhase, CheckStatusName

    Ask = Callable[[CheckConfig, "Target", Steps, OpenSocket], Awaitable[tuple[Code, str]]]

MODULES = {"https": "http"}
"""Types that another's module asks for as well."""
LATE_SECONDS = 0.5
"""A timeout that natlb notices so much later was not the backend's: natlb was not running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who is asked: the backend by its names, and where it is asked, from which address."""

    service: str
    backend: str
    address: Address
    port: int
    source: Address | None = None

    @classmethod
    def of(cls, service: ServiceConfig, backend: BackendConfig, check: CheckConfig) -> Target:
        """Return where a backend is asked: at its own address and port unless the check has some.

        A backend that keeps the port that clients call is asked at the first that they may call.
        """
        return cls(
            service=service.name,
            backend=backend.name,
            address=check.address or backend.address,
            port=check_port(service, backend, check),
            source=check.source,
        )

    def __str__(self) -> str:
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a check found. `status` None: natlb could not ask, which says nothing of the backend."""

    status: CheckStatusName | None
    code: Code
    reason: str
    latency_ms: float
    phases: tuple[CheckPhase, ...]

    @property
    def is_ours(self) -> bool:
        """Whether nothing was learned of the backend."""
        return self.status is None


async def probe(check: CheckConfig, target: Target, open_socket: OpenSocket = open_here) -> Result:
    """Return what asking the target comes to, in `check.timeout` at the latest."""
    try:
        ask: Ask = import_module(_module(check.type)).ask
    except Exception as error:  # noqa: BLE001 - a module cannot be read: the others go on
        return _ours(Steps(), f"natlb cannot check by {check.type}: {error}")
    steps = Steps()
    limit = asyncio.timeout(check.timeout)
    try:
        async with limit:
            code, reason = await ask(check, target, steps, open_socket)
    except TimeoutError:
        failure = _too_late(steps, check.timeout, is_limit=limit.expired())
    except Exception as error:  # noqa: BLE001 - a bug of ours is not the backend's fault
        failure = _failure(error, steps)
    else:
        return _result(steps, "up", code, reason)
    if failure.is_ours:
        return _ours(steps, failure.reason, failure.code)
    status: CheckStatusName = "up" if failure.code in PASSING else "down"
    return _result(steps, status, failure.code, failure.reason)


def _too_late(steps: Steps, seconds: float, *, is_limit: bool) -> Failure:
    """Return what it means that the step in hand did not end; the kernel gives up too."""
    if is_limit and steps.elapsed > seconds + LATE_SECONDS:
        return Failure(Code.SOCKERR, "natlb was held up, and looked too late", is_ours=True)
    within = f" within {seconds:g} s" if is_limit else ", said the kernel"
    return Failure(
        steps.current.late,
        f"no {steps.current.wanted}{within}",
        is_ours=steps.current is OPEN,
    )


def _failure(error: Exception, steps: Steps) -> Failure:
    """Return what an exception says of the backend, or that it says nothing."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, NatlbError):
        return Failure(Code.SOCKERR, error.message, is_ours=True)
    if not isinstance(error, OSError):
        reason = f"internal error: {type(error).__name__}: {shown(str(error))}"
        return Failure(Code.SOCKERR, reason, is_ours=True)
    words = (os.strerror(error.errno) if error.errno else str(error)).lower()
    if error.errno in OURS:
        return Failure(Code.SOCKERR, f"{steps.current.name}: {words}", is_ours=True)
    return Failure(steps.current.broken, words, is_ours=steps.current is OPEN)


def _module(kind: str) -> str:
    return f"natlb.control.health.probes.{MODULES.get(kind, kind)}"


def _ours(steps: Steps, reason: str, code: Code = Code.SOCKERR) -> Result:
    return _result(steps, None, code, reason)


def _result(steps: Steps, status: CheckStatusName | None, code: Code, reason: str) -> Result:
    latency_ms, phases = steps.finish()
    return Result(status=status, code=code, reason=reason, latency_ms=latency_ms, phases=phases)


def report(
    service: str, name: str, check: CheckConfig, target: Target, result: Result
) -> CheckReport:
    """Return a result as the API tells it; a check that could not be made leaves `unknown`."""
    command = " ".join(check.command)
    return CheckReport(
        service=service,
        name=name,
        type=check.type,
        target=command if check.type == "exec" else str(target),
        status=result.status or "unknown",
        code=result.code.value,
        reason=result.reason,
        latency_ms=result.latency_ms,
        at=rfc3339(datetime.now(UTC)),
        phases=list(result.phases),
    )
