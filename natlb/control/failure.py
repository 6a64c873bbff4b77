"""Errors on their way between processes: exit code, message and fix, nothing else."""

from __future__ import annotations

import traceback
from pathlib import Path

from natlb import errors
from natlb.errors import NatlbError

BUG = NatlbError.exit_code
BY_EXIT_CODE: dict[int, type[NatlbError]] = {
    kind.exit_code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and NatlbError in kind.__bases__  # not a closer word for one of them
}


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
