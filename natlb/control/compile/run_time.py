"""What is true of a backend at run time, beside what the configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from natlb.errors import UsageError
from natlb.model import BackendStateName, HealthName

if TYPE_CHECKING:
    from natlb.control.config.values import BackendConfig

MOST_WEIGHT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTime:
    """What is true of a backend at run time; None: as the configuration says.

    `began_ms` is when it came into a pool that was running, on the clock of the flow table's
    epoch; None: it was there from the start, or long enough. Slow start counts from there.

    Raises UsageError for a state, weight or health that there is none of.
    """

    state: BackendStateName = "ready"
    weight: int | None = None
    health: HealthName = "unknown"
    began_ms: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no policy could work with."""
        for field_name, value, words in (
            ("state", self.state, get_args(BackendStateName)),
            ("health", self.health, get_args(HealthName)),
        ):
            if value not in words:
                raise UsageError(f"{field_name} {value!r} is none of {', '.join(words)}")
        if self.weight is None:
            return
        if not isinstance(self.weight, int) or isinstance(self.weight, bool):
            raise UsageError(f"weight {self.weight!r} is no whole number")
        if not 0 <= self.weight <= MOST_WEIGHT:
            raise UsageError(f"weight {self.weight} is not in 0..{MOST_WEIGHT}")

    def weight_of(self, backend: BackendConfig) -> int:
        """Return the weight in force."""
        return backend.weight if self.weight is None else self.weight


AS_CONFIGURED = RunTime()
