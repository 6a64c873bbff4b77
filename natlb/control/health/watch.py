"""The health of an instance's backends: who is checked, what is known, and who is told.

    schedule    when each is asked            arbiter       what holds, of checks and of traffic
    history     what was found                transitions   how it comes into force

All backends that have a check are checked, drained ones and those in maintenance too: who brings
one back wants to know. A new control goes on with the health that the registry kept; only results
change it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from natlb.control.compile import AS_CONFIGURED
from natlb.control.events import rfc3339
from natlb.control.health.arbiter import Arbiter, Cause
from natlb.control.health.history import Histories
from natlb.control.health.hysteresis import Hysteresis
from natlb.control.health.probe import Target, report
from natlb.control.health.schedule import Job, Schedule
from natlb.control.health.transitions import Transitions
from natlb.errors import UsageError
from natlb.model import CheckHistory, CheckResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from natlb.control.config.values import CheckConfig, Config
    from natlb.control.health.arbiter import BackendKey
    from natlb.control.health.probe import Result
    from natlb.control.intents import Intents
    from natlb.model import CheckReport

    Ask = Callable[[CheckConfig, Target], Awaitable[Result]]

SECONDS_A_LOOK = 0.25
QUIET_SECONDS = 60.0
MOST_SAID = 64
"""So many reasons why checks say nothing are told apart at a time."""
START_SECONDS = 5.0
"""So long control loads its libraries beside its first checks, which are repeated and not told."""
INHERITED_MS = 5_000
"""So long a word of traffic holds that was heard by a control that has died."""


class HealthWatch:
    """Checks the backends of what is in force, until it is stopped."""

    def __init__(self, intents: Intents, ask: Ask) -> None:
        """Begin with what is known of the backends in force."""
        self.histories = Histories()
        self._intents = intents
        self._ask = ask
        self._transitions = Transitions(intents, self.histories)
        self.arbiter = Arbiter(self._transitions.changed)
        self._schedule = Schedule(ask, self)
        self._jobs: dict[BackendKey, Job] = {}
        self._hysteresis: dict[BackendKey, Hysteresis] = {}
        self._said_at: dict[str, float] = {}
        self._began = asyncio.get_running_loop().time()
        self._inherit()
        self.follow(intents.desired.config)

    async def run(self) -> None:
        """Bring changes into force, until cancelled."""
        settling = asyncio.create_task(self._transitions.run(self.arbiter))
        try:
            while True:
                self._look()
                await asyncio.wait([settling], timeout=SECONDS_A_LOOK)
                if settling.done():
                    settling.result()
        finally:
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)
            await self._schedule.stop()

    def _look(self) -> None:
        """Follow what is in force by now, and end what traffic said for a time."""
        if self._intents.desired.config is not self._config:
            self.follow(self._intents.desired.config)
        self.arbiter.expire(self._intents.memory.now_ms())

    def _inherit(self) -> None:
        """Go on with the health in force: of who is checked as found by checks."""
        desired = self._intents.desired
        checked = jobs_of(desired.config)
        for key, now in desired.run_time.items():
            if key in checked:
                self.arbiter.actively(key, now.health)
                self._hysteresis[key] = _hysteresis(checked[key].check)
                self._hysteresis[key].health = now.health
            elif now.health == "down":
                until = self._intents.memory.now_ms() + INHERITED_MS
                why = "known before control was replaced"
                self.arbiter.passively(key, down=True, why=why, until_ms=until)

    def follow(self, config: Config) -> None:
        """Check what this configuration says; what is known stays with the name and address."""
        self._config = config
        jobs = jobs_of(config)
        names = {(name, each.name) for name, of in config.services.items() for each in of.backends}
        for key, job in self._jobs.items():
            if key in names and key in jobs and jobs[key].target != job.target:
                self._forget(key)
                self.arbiter.forget(key)
            elif key in names and key not in jobs:
                self._forget(key)
                self.arbiter.actively(key, "unknown")
        self.arbiter.keep_only(names)
        self.histories.keep_only(names)
        for key, job in jobs.items():
            known = self._hysteresis.setdefault(key, _hysteresis(job.check))
            known.rise, known.fall = job.check.rise, job.check.fall
        self._hysteresis = {key: self._hysteresis[key] for key in jobs}
        self._jobs = jobs
        self._schedule.follow(jobs)

    def _forget(self, key: BackendKey) -> None:
        self._hysteresis.pop(key, None)
        self.histories.forget_results(key)

    # What checks come to (schedule.Told)

    def checked(self, job: Job, result: Result) -> None:
        """Take a result that counts."""
        assert result.status is not None
        kept = CheckResult(
            status=result.status,
            code=str(result.code),
            latency_ms=round(result.latency_ms, 3),
            at=rfc3339(datetime.now(UTC)),
        )
        self.histories.note(job.key, kept)
        ok = result.status == "up"
        number = self._intents.desired.indices.backends.get(job.key)
        if number is not None:
            self._intents.memory.tally.checked(number, well=ok)
        if (health := self._hysteresis[job.key].feed(ok=ok)) is not None:
            self.arbiter.actively(job.key, health, Cause(str(result.code), result.reason))
        self.arbiter.answered(job.key, ok=ok, rise=job.check.rise)

    def in_vain(self, job: Job, result: Result | None) -> None:
        """Tell the operator, and once, that checks say nothing at the moment."""
        if result is None and asyncio.get_running_loop().time() - self._began < START_SECONDS:
            return
        kind = "checks_delayed" if result is None else "checks_impossible"
        reason = "natlb got too little time to listen" if result is None else result.reason
        if self._is_news(f"{kind}: {reason}"):
            service, backend = job.key
            note = self._intents.events.note
            note(kind, "warning", service=service, backend=backend, reason=reason)

    def _is_news(self, words: str) -> bool:
        """Return whether this was not said for a while; of what lasts, each reason is told once."""
        now = asyncio.get_running_loop().time()
        self._said_at = {w: at for w, at in self._said_at.items() if now - at <= QUIET_SECONDS}
        is_news = words not in self._said_at
        if not is_news or len(self._said_at) < MOST_SAID:
            self._said_at[words] = now
            return is_news
        return False

    # What is asked from outside

    async def check(self, service: str, name: str) -> CheckReport:
        """Return what a check made now finds; it changes nothing that is known."""
        self._intents.desired.backend(service, name)
        job = self._jobs.get((service, name))
        if job is None:
            fix = "give it a `check` in the configuration"
            raise UsageError(f"backend '{service}/{name}' has no check", fix=fix)
        result = await self._ask(job.check, job.target)
        return report(service, name, job.check, job.target, result)

    def history(self, service: str, name: str) -> CheckHistory:
        """Return a backend's health and how it came about."""
        desired, key = self._intents.desired, (service, name)
        check = desired.backend(service, name).check
        return CheckHistory(
            service=service,
            name=name,
            health=desired.run_time.get(key, AS_CONFIGURED).health,
            rise=0 if check is None else check.rise,
            fall=0 if check is None else check.fall,
            since=self.histories.since(key),
            passive=self.arbiter.passive(key),
            results=self.histories.results(key),
        )


def jobs_of(config: Config) -> dict[BackendKey, Job]:
    """Return what is to be asked, by backend."""
    return {
        (service.name, backend.name): Job(
            (service.name, backend.name),
            backend.check,
            Target.of(service, backend, backend.check),
        )
        for service in config.services.values()
        for backend in service.backends
        if backend.check is not None
    }


def _hysteresis(check: CheckConfig) -> Hysteresis:
    return Hysteresis(rise=check.rise, fall=check.fall)
