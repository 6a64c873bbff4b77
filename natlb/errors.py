"""The few exceptions of natlb, each with its exit code and its machine-readable word.

A message says what was wrong and where; `fix` is the command or the change that mends it.
Anything that escapes and is not a `NatlbError` is a bug of ours (exit code 70).
"""

from __future__ import annotations


class NatlbError(Exception):
    """What natlb can explain: printed as `error: MESSAGE` and `fix: FIX`, never as a traceback."""

    exit_code = 70
    code = "internal"

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        """Say what went wrong and where in `message`, and in `fix` how to mend it."""
        super().__init__(message)
        self.message = message
        self.fix = fix


class UsageError(NatlbError):
    """The command line does not parse."""

    exit_code = 2
    code = "usage"


class UnknownNameError(NatlbError):
    """No service, backend or lab has this name."""

    exit_code = 64
    code = "unknown-name"


class ConfigError(NatlbError):
    """The configuration is wrong, cannot be read, or is not there."""

    exit_code = 65
    code = "config"


class TakenError(ConfigError):
    """A name that somebody has already."""

    code = "taken"


class UnavailableError(NatlbError):
    """natlb is not running, or a part is not installed or not in this version."""

    exit_code = 69
    code = "unavailable"


class BusyError(NatlbError):
    """Somebody else holds what this needs: another instance, most often."""

    exit_code = 75
    code = "busy"


class ChangedError(BusyError):
    """Somebody else changed meanwhile what was to be changed from a known state."""

    code = "changed"


class DeniedError(NatlbError):
    """A right is missing: a capability, or access to the socket."""

    exit_code = 77
    code = "denied"


class HostError(NatlbError):
    """This host cannot: no TUN, an interface missing, a VIP that is the host's own address."""

    exit_code = 78
    code = "host"


class WaitTimeoutError(NatlbError):
    """What was waited for did not come in time."""

    exit_code = 124
    code = "timeout"
