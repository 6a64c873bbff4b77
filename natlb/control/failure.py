"""Errors on their way between processes: exit code, message and fix, nothing else."""

from __future__ import annotations

import traceback
from pathlib import Path

from natlb.errors import NatlbError

BUG = NatlbError.exit_code
# Of each exit code the plain word for it, not a closer one (`TakenError` is a `ConfigError`).
PLAIN: list[type[NatlbError]] = [NatlbError, *NatlbError.__subclasses__()]
BY_EXIT_CODE = {kind.exit_code: kind for kind in PLAIN}


def error_text(error: NatlbError) -> str:
    """Return message and fix as they travel."""
    return f"{error.message}\0{error.fix or ''}"


def error_from(exit_code: int, text: str) -> NatlbError:
    """Return the error that another process met; an exit code that is none of ours is a bug."""
    message, _, fix = text.partition("\0")
    return BY_EXIT_CODE.get(exit_code, NatlbError)(message, fix=fix or None)


def explain(error: BaseException) -> NatlbError:
    """Return the error as natlb's own: what is none of them is a bug, and names itself."""
    if isinstance(error, NatlbError):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    where = f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return NatlbError(f"internal error: {type(error).__name__}: {error}{where}")
